"""The enums of the schema."""

import enum

import strawberry


@strawberry.enum(description="How far an order has come.")
class OrderStatus(enum.Enum):
    OPEN = strawberry.enum_value("OPEN", description="Placed, and neither completed nor cancelled.")
    COMPLETED = strawberry.enum_value(
        "COMPLETED", description="Completed; counts as lifetime value."
    )
    CANCELLED = strawberry.enum_value("CANCELLED", description="Cancelled; counts for nothing.")


@strawberry.enum(description="Why a command can be refused.")
class ErrorCode(enum.Enum):
    INVALID_INPUT = strawberry.enum_value(
        "INVALID_INPUT", description="A value of the input is unusable; path names it."
    )
    EMAIL_ALREADY_REGISTERED = strawberry.enum_value(
        "EMAIL_ALREADY_REGISTERED", description="The e-mail address belongs to another user."
    )
    USER_NOT_FOUND = strawberry.enum_value("USER_NOT_FOUND", description="There is no such user.")
    VERSION_CONFLICT = strawberry.enum_value(
        "VERSION_CONFLICT", description="The user has changed since the expected version."
    )
    ORDER_NOT_FOUND = strawberry.enum_value(
        "ORDER_NOT_FOUND", description="There is no such order."
    )
    ORDER_NOT_OPEN = strawberry.enum_value(
        "ORDER_NOT_OPEN", description="The order was completed or cancelled before."
    )
    IDEMPOTENCY_KEY_REUSED = strawberry.enum_value(
        "IDEMPOTENCY_KEY_REUSED", description="The idempotency key was used for another request."
    )
