"""Limits on the size of a document and of what it asks of introspection."""
