"""The GraphQL schema of products."""

from tests.products.schema.mutations import Mutation
from tests.products.schema.queries import Query
from tests.products.schema.subscriptions import Subscription

__all__ = ["Mutation", "Query", "Subscription"]
