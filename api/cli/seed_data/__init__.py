"""People who do not exist, for a Tandem that somebody wants to see with something in it."""
