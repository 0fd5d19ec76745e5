"""What can be known: one file per read model, which holds its shape, its projection and its fetch."""
