"""Enums of the schema."""

import enum

import strawberry


@strawberry.enum(description="How far an order has come.")
class OrderStatus(enum.Enum):
    OPEN = strawberry.enum_value("OPEN", description="Placed, and neither completed nor cancelled.")
    COMPLETED = strawberry.enum_value(
        "COMPLETED", description="Completed; counts as lifetime value."
    )
    CANCELLED = strawberry.enum_value("CANCELLED", description="Cancelled; counts for nothing.")
