"""Refusals on their way out: data if the client selected `errors`, otherwise a top-level error."""

from typing import Any

import msgspec
import strawberry
from graphql import GraphQLError

from api.schema.users.enums import ErrorCode, OrderStatus
from domain import refusal
from domain.refusal import Refusal
from domain.users import refusals


@strawberry.interface(
    name="CommandError", description="Why a command was refused. Nothing was written."
)
class CommandError:
    code: ErrorCode = strawberry.field(description="The reason, for programs.")
    message: str = strawberry.field(description="The reason, for people.")
    path: list[str] | None = strawberry.field(
        description="The argument it is about, such as input, email; null if it is about none."
    )


@strawberry.type(description="A value of the input is unusable.")
class InvalidInput(CommandError):
    pass


@strawberry.type(description="The e-mail address belongs to another user.")
class EmailAlreadyRegistered(CommandError):
    pass


@strawberry.type(description="There is no user with this id.")
class UserNotFound(CommandError):
    pass


@strawberry.type(description="The user is not in the version that the client expected.")
class VersionConflict(CommandError):
    expected: int = strawberry.field(description="The version the client expected.")
    actual: int = strawberry.field(description="The version the user has.")


@strawberry.type(description="There is no order with this id.")
class OrderNotFound(CommandError):
    pass


@strawberry.type(description="The order is no longer open.")
class OrderNotOpen(CommandError):
    status: OrderStatus = strawberry.field(description="What has become of the order.")


@strawberry.type(description="The idempotency key was used for another request.")
class IdempotencyKeyReused(CommandError):
    pass


_SHOWN: dict[type[Refusal], tuple[ErrorCode, type[CommandError]]] = {
    refusal.InvalidInput: (ErrorCode.INVALID_INPUT, InvalidInput),
    refusals.EmailAlreadyRegistered: (ErrorCode.EMAIL_ALREADY_REGISTERED, EmailAlreadyRegistered),
    refusals.UserNotFound: (ErrorCode.USER_NOT_FOUND, UserNotFound),
    refusals.VersionConflict: (ErrorCode.VERSION_CONFLICT, VersionConflict),
    refusals.OrderNotFound: (ErrorCode.ORDER_NOT_FOUND, OrderNotFound),
    refusals.OrderNotOpen: (ErrorCode.ORDER_NOT_OPEN, OrderNotOpen),
    refusal.IdempotencyKeyReused: (ErrorCode.IDEMPOTENCY_KEY_REUSED, IdempotencyKeyReused),
}


def as_data(refusal: Refusal) -> CommandError:
    """The refusal as a member of a payload's `errors`."""
    code, shown = _SHOWN[type(refusal)]
    return shown(code=code, **_details(refusal))


def as_error(refusal: Refusal) -> GraphQLError:
    """The same refusal as an error to raise: same code, same path, same details in `extensions`."""
    code, _ = _SHOWN[type(refusal)]
    details = _details(refusal)
    return GraphQLError(details.pop("message"), extensions={"code": code.value, **details})


def _details(refusal: Refusal) -> dict[str, Any]:
    """A refusal's fields; the path begins at the argument, which the domain does not know of."""
    path = None if refusal.path is None else ["input", *refusal.path]
    return {**msgspec.structs.asdict(refusal), "path": path}
