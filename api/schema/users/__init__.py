"""The GraphQL schema of users and their orders."""

from api.resolvers.nodes import NodeType
from api.schema.users.mutations import Mutation
from api.schema.users.queries import Query
from api.schema.users.subscriptions import Subscription
from api.schema.users.types.order_types import Order
from api.schema.users.types.user_types import User
from domain.users.aggregate import USER
from readside.projections import orders, users

__all__ = ["NODES", "Mutation", "Query", "Subscription"]

NODES = [NodeType(User, USER, users.find), NodeType(Order, USER, orders.find, scattered=True)]
