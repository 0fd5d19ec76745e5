"""What queries answer with: one file per thing, with its connection beside it."""

from api.shapes.order import Order, OrderConnection, OrderEdge
from api.shapes.page import PageInfo
from api.shapes.user import User, UserConnection, UserEdge

__all__ = [
    "Order",
    "OrderConnection",
    "OrderEdge",
    "PageInfo",
    "User",
    "UserConnection",
    "UserEdge",
]
