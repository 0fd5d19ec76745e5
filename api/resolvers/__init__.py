"""Building blocks of a schema: field decorators, scalars, pagination, and the context of resolvers."""
