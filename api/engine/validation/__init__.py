"""Whether a document is valid, told in one pass over it where that is certain; else graphql-core tells."""
