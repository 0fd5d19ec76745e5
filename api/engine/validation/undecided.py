"""How validity/plain.py and its helpers stop at the first thing that graphql-core must look at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class Undecided(Exception):
    """The document may be invalid, or valid in a way that few documents are."""


def require(truth: bool) -> None:
    """Raises Unsure if this is not true."""
    if not truth:
        raise Undecided


def require_value(what: T | None) -> T:
    """The same. Raises Unsure if there is nothing."""
    if what is None:
        raise Undecided
    return what


def require_unique(names: Iterable[str]) -> set[str]:
    """The names. Raises Unsure if there is one of them twice."""
    listed = list(names)
    unique = set(listed)
    require(len(unique) == len(listed))
    return unique
