"""Refusals: why a command was not carried out. A refusal is a result, not an error; nothing was written."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated

import msgspec


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all refusals: a message for the client and the input field it is about, if any.

    Clients see a refusal as a type of the GraphQL schema: the docstring of its class is the description, and
    a field of its own needs one in `Annotated[int, Meta(description="...")]`.
    """

    message: str
    path: tuple[str, ...] | None = None

    @classmethod
    @cache
    def code(cls) -> str:
        """Returns the code that programs compare: SKU_TAKEN for SkuTaken."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()


class InvalidInput(Refusal, frozen=True, kw_only=True):
    """A value of the input is unusable; `path` names it."""


class IdempotencyKeyReused(Refusal, frozen=True, kw_only=True):
    """The idempotency key was used for another request."""

    message: str = "This idempotency key was used for another request; use a new key."
    path: tuple[str, ...] | None = ("idempotencyKey",)


class VersionConflict(Refusal, frozen=True, kw_only=True):
    """The version differs from the one that the client expected."""

    message: str = "It has changed since the version you expected; read it again and decide again."
    path: tuple[str, ...] | None = ("expectedVersion",)
    expected: Annotated[int, msgspec.Meta(description="The version that the client expected.")]
    actual: Annotated[int, msgspec.Meta(description="The present version.")]
