"""The read models of products."""
