"""GraphQL types of the refusals: one entry of _SHOWN for each refusal class of the domain.

From an entry come a type with the name and the fields of the class, and a value of ErrorCode.
"""

import enum
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec
import strawberry
from graphql import GraphQLError

from api.schema.users.enums import OrderStatus
from domain.refusal import IdempotencyKeyReused, InvalidInput, Refusal, VersionConflict
from domain.users.refusals import (
    EmailAlreadyRegistered,
    OrderNotFound,
    OrderNotOpen,
    UserNotFound,
)


class _Shown(NamedTuple):
    """How the schema describes a refusal, its code, and the fields that it has alone."""

    type_description: str
    code_description: str
    fields: Mapping[str, tuple[type, str]] = {}
    """GraphQL type and description of each field."""


_SHOWN: dict[type[Refusal], _Shown] = {
    InvalidInput: _Shown(
        "A value of the input is unusable.", "A value of the input is unusable; path names it."
    ),
    EmailAlreadyRegistered: _Shown(
        "The e-mail address belongs to another user.", "The e-mail address belongs to another user."
    ),
    UserNotFound: _Shown("There is no user with this id.", "There is no such user."),
    VersionConflict: _Shown(
        "The user is not in the version that the client expected.",
        "The user has changed since the expected version.",
        {
            "expected": (int, "The version the client expected."),
            "actual": (int, "The version the user has."),
        },
    ),
    OrderNotFound: _Shown("There is no order with this id.", "There is no such order."),
    OrderNotOpen: _Shown(
        "The order is no longer open.",
        "The order was completed or cancelled before.",
        {"status": (OrderStatus, "What has become of the order.")},
    ),
    IdempotencyKeyReused: _Shown(
        "The idempotency key was used for another request.",
        "The idempotency key was used for another request.",
    ),
}


def _code_of(refusal: type[Refusal]) -> str:
    """Returns USER_NOT_FOUND for UserNotFound."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", refusal.__name__).upper()


ErrorCode: type[enum.Enum] = strawberry.enum(
    cast("Any", enum.Enum)(
        "ErrorCode",
        {
            _code_of(refusal): strawberry.enum_value(
                _code_of(refusal), description=shown.code_description
            )
            for refusal, shown in _SHOWN.items()
        },
    ),
    description="Why a command can be refused.",
)


@strawberry.interface(description="Why a command was refused. Nothing was written.")
class CommandError:
    code: enum.Enum = strawberry.field(
        graphql_type=ErrorCode, description="The reason, for programs."
    )
    message: str = strawberry.field(description="The reason, for people.")
    path: list[str] | None = strawberry.field(
        description="The argument it is about, such as input, email; null if it is about none."
    )


def _type_of(refusal: type[Refusal], shown: _Shown) -> type[CommandError]:
    fields: dict[str, Any] = {
        "__annotations__": {name: type_ for name, (type_, _) in shown.fields.items()},
        **{name: strawberry.field(description=text) for name, (_, text) in shown.fields.items()},
    }
    class_ = type(refusal.__name__, (CommandError,), fields)
    return strawberry.type(class_, description=shown.type_description)


TYPES = {refusal: _type_of(refusal, shown) for refusal, shown in _SHOWN.items()}
_CODES = {refusal: ErrorCode[_code_of(refusal)] for refusal in _SHOWN}


def as_data(refusal: Refusal) -> CommandError:
    """Returns the refusal as a member of a payload's `errors`."""
    class_ = type(refusal)
    return TYPES[class_](code=_CODES[class_], **_details(refusal))


def as_error(refusal: Refusal) -> GraphQLError:
    """Returns the refusal as an exception with the same code, path and details in `extensions`."""
    extensions = {"code": _CODES[type(refusal)].value, **_details(refusal)}
    return GraphQLError(extensions.pop("message"), extensions=extensions)


def _details(refusal: Refusal) -> dict[str, Any]:
    """Returns the fields of a refusal; its path begins with the GraphQL argument."""
    path = None if refusal.path is None else ["input", *refusal.path]
    return {**msgspec.structs.asdict(refusal), "path": path}
