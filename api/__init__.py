"""The edge: GraphQL over HTTP, and the composition root that puts the two sides together."""
