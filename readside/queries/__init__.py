"""Reading: queries against the active generation, and subscriptions to its changes."""
