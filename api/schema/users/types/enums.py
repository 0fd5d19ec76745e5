"""The enum of the statuses of orders, and the refusal that has it as a field."""

import enum

import strawberry

from api.resolvers.refusal_types import refusal_type
from domain.users.refusals import OrderNotOpen


@strawberry.enum(description="How far an order has come.")
class OrderStatus(enum.Enum):
    OPEN = strawberry.enum_value("OPEN", description="Placed, and neither completed nor cancelled.")
    COMPLETED = strawberry.enum_value(
        "COMPLETED", description="Completed; counts as lifetime value."
    )
    CANCELLED = strawberry.enum_value("CANCELLED", description="Cancelled; counts for nothing.")


ORDER_NOT_OPEN = refusal_type(OrderNotOpen, status=OrderStatus)
