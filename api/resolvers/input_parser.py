"""Inputs of commands: the fields that all have, and the parser that turns their texts into values."""

from collections.abc import Callable
from typing import TypeVar, cast
from uuid import UUID

import strawberry

from domain.refusal import InvalidInput, Refusal
from domain.value_parsing import Invalid, parse_idempotency_key, parse_identifier

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
class VersionedInput(IdempotentInput):
    """Fields of the input of every command on an aggregate that exists."""

    expected_version: int | None = strawberry.field(
        default=None, description="Refuse with VersionConflict unless this is the present version."
    )


class InputParser:
    """A parser of the fields of one input, which collects a refusal for each unusable field."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []

    def __call__(self, field: str, text: str, parse: Callable[[str], T]) -> T:
        """Returns the value of the input field with this GraphQL name."""
        try:
            return parse(text)
        except Invalid as error:
            self.refusals.append(InvalidInput(message=str(error), path=(field,)))
            # The command is discarded when there are refusals, so this None is never used.
            return cast("T", None)

    def id(self, field: str, text: str) -> UUID:
        return self(field, text, parse_identifier)

    def idempotency_key(self, given: IdempotentInput) -> str | None:
        key = given.idempotency_key
        return None if key is None else self("idempotencyKey", key, parse_idempotency_key)
