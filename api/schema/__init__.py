"""The GraphQL schema: a package for each aggregate, and merged.py with the schema of all of them."""
