"""The GraphQL schema of users and their orders."""

from api.resolvers.pagination import PageInfo
from api.schema.users.order_types import Order, OrderConnection, OrderEdge
from api.schema.users.user_types import User, UserConnection, UserEdge

__all__ = [
    "Order",
    "OrderConnection",
    "OrderEdge",
    "PageInfo",
    "User",
    "UserConnection",
    "UserEdge",
]
