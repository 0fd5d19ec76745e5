"""Refusals on their way out: data if the client selected `errors`, otherwise a top-level error."""

from typing import Any

import msgspec
import strawberry
from graphql import GraphQLError

from api.enums import ErrorCode, OrderStatus
from domain import refusals
from domain.refusals import Refusal


@strawberry.interface(
    name="CommandError", description="Why a command was refused. Nothing was written."
)
class Refused:
    code: ErrorCode = strawberry.field(description="The reason, for programs.")
    message: str = strawberry.field(description="The reason, for people.")
    path: list[str] | None = strawberry.field(
        description="The argument it is about, such as input, email; null if it is about none."
    )


@strawberry.type(description="A value of the input is unusable.")
class InvalidInput(Refused):
    pass


@strawberry.type(description="The e-mail address belongs to another user.")
class EmailAlreadyRegistered(Refused):
    pass


@strawberry.type(description="There is no user with this id.")
class UserNotFound(Refused):
    pass


@strawberry.type(description="The user is not in the version that the client expected.")
class VersionConflict(Refused):
    expected: int = strawberry.field(description="The version the client expected.")
    actual: int = strawberry.field(description="The version the user has.")


@strawberry.type(description="There is no order with this id.")
class OrderNotFound(Refused):
    pass


@strawberry.type(description="The order is no longer open.")
class OrderNotOpen(Refused):
    status: OrderStatus = strawberry.field(description="What has become of the order.")


@strawberry.type(description="The idempotency key was used for another request.")
class IdempotencyKeyReused(Refused):
    pass


_SHOWN: dict[type[Refusal], tuple[ErrorCode, type[Refused]]] = {
    refusals.InvalidInput: (ErrorCode.INVALID_INPUT, InvalidInput),
    refusals.EmailAlreadyRegistered: (ErrorCode.EMAIL_ALREADY_REGISTERED, EmailAlreadyRegistered),
    refusals.UserNotFound: (ErrorCode.USER_NOT_FOUND, UserNotFound),
    refusals.VersionConflict: (ErrorCode.VERSION_CONFLICT, VersionConflict),
    refusals.OrderNotFound: (ErrorCode.ORDER_NOT_FOUND, OrderNotFound),
    refusals.OrderNotOpen: (ErrorCode.ORDER_NOT_OPEN, OrderNotOpen),
    refusals.IdempotencyKeyReused: (ErrorCode.IDEMPOTENCY_KEY_REUSED, IdempotencyKeyReused),
}


def as_data(refusal: Refusal) -> Refused:
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
