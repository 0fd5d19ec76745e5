"""The GraphQL schema of users and their orders."""

from api.schema.users.mutations import Mutation
from api.schema.users.queries import Query
from api.schema.users.subscriptions import Subscription

__all__ = ["Mutation", "Query", "Subscription"]
