"""The cost curve: what was measured at small sizes, and the model of large ones that is fitted to it."""
