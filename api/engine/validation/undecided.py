"""The exception by which the fast validator stops and leaves a document to graphql-core."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class Undecided(Exception):
    """The document may be invalid, or valid in an unusual way."""


def require(condition: bool) -> None:
    """Raises Undecided unless the condition holds."""
    if not condition:
        raise Undecided


def require_value(value: T | None) -> T:
    """Returns the value. Raises Undecided if it is None."""
    if value is None:
        raise Undecided
    return value


def require_unique(names: Iterable[str]) -> set[str]:
    """Returns the names. Raises Undecided if one is repeated."""
    listed = list(names)
    unique = set(listed)
    require(len(unique) == len(listed))
    return unique
