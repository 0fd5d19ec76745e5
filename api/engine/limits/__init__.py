"""Limits on the size of a document, and on how much of the schema introspection may read."""
