"""Inputs of commands: the fields that all have, and the parser that turns their texts into values."""

from collections.abc import Callable
from typing import TypeVar, cast

import strawberry

from domain.refusal import InvalidInput, Refusal
from domain.users import values
from domain.users.events import OrderId, UserId

T = TypeVar("T")


@strawberry.input
class IdempotentInput:
    """Fields of the input of every command."""

    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A text you make up for this request. The same request with the same key is"
        " carried out once, and answered the same each time, for as long as keys are kept: 30 days,"
        " unless the service says otherwise.",
    )


@strawberry.input
class UserCommandInput(IdempotentInput):
    """Fields of the input of every command on a user."""

    user_id: strawberry.ID = strawberry.field(description="The user's id.")
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse with VersionConflict unless the user has this version."
    )


@strawberry.input
class OrderCommandInput(IdempotentInput):
    """Fields of the input of every command on an order."""

    order_id: strawberry.ID = strawberry.field(description="The order's id.")


class InputParser:
    """A parser of the fields of one input, which collects a refusal for each unusable field."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []

    def __call__(self, field: str, text: str, parse: Callable[[str], T]) -> T:
        """Returns the value of the input field with this GraphQL name."""
        try:
            return parse(text)
        except values.Invalid as error:
            self.refusals.append(InvalidInput(message=str(error), path=(field,)))
            # The command is discarded when there are refusals, so this None is never used.
            return cast("T", None)

    def user_id(self, given: UserCommandInput) -> UserId:
        return UserId(self("userId", given.user_id, values.parse_identifier))

    def order_id(self, given: OrderCommandInput) -> OrderId:
        return OrderId(self("orderId", given.order_id, values.parse_identifier))

    def idempotency_key(self, given: IdempotentInput) -> str | None:
        key = given.idempotency_key
        return None if key is None else self("idempotencyKey", key, values.parse_idempotency_key)
