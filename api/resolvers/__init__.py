"""Building blocks of a schema: typed decorators, scalars, pages, and what a resolver receives."""
