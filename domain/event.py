"""The base of all events, and the types that say which of their text identifies a person."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from types import NoneType
from typing import Annotated, Any, Final, TypeVar, get_args, get_type_hints

import msgspec

T = TypeVar("T")


class DomainEvent(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, tag_field="type"
):
    """The base of all events: an immutable value whose tag, the class name, is stored as its type.

    A new field with a default needs no new schema version: what was written before has the default, and
    older code ignores the field.
    """


_PERSONAL: Final = "personal"
_NON_PERSONAL: Final = "non-personal"

Personal = Annotated[T, _PERSONAL]
"""The type of a field that identifies a person: `Personal[str]` or `Personal[str] | None`. An erasure blanks
it in the tables and in every event of the aggregate. Text is either this or `NonPersonal[str]`."""

NonPersonal = Annotated[T, _NON_PERSONAL]
"""The type of a field whose text identifies no person, such as a stock keeping unit: an erasure keeps it."""

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""Converts the fields of a stored event from one schema version to the next."""

_TEXT: Final = frozenset({str, bytes, object, Any, msgspec.Raw, dict, list, set, tuple})
"""Types whose values may hold any text."""


def personal_fields(struct: type[msgspec.Struct]) -> frozenset[str]:
    """Returns the names of the fields that are declared as Personal."""
    return _marked(struct, _PERSONAL)


def non_personal_fields(struct: type[msgspec.Struct]) -> frozenset[str]:
    """Returns the names of the fields that are declared as NonPersonal."""
    return _marked(struct, _NON_PERSONAL)


def text_fields(struct: type[msgspec.Struct]) -> frozenset[str]:
    """Returns the names of the fields that may hold any text."""
    hints = get_type_hints(struct)
    return frozenset(
        field for field in struct.__struct_fields__ if _holds_text(hints[field], set())
    )


def require_declared(
    struct: type[msgspec.Struct], *, apart_from: Collection[str] = frozenset()
) -> None:
    """Raises TypeError, in one sentence, for text that is not declared and personal data that is no text."""
    hints = get_type_hints(struct)
    personal = personal_fields(struct)
    declared = personal | non_personal_fields(struct)
    for field in sorted(text_fields(struct) - declared.union(apart_from)):
        raise TypeError(
            f"{struct.__name__}.{field} holds text: declare it as Personal[str] if it identifies a person,"
            " which an erasure then blanks, or as NonPersonal[str]."
        )
    for field in sorted(personal):
        if not set(get_args(hints[field]) or {hints[field]}) <= {str, NoneType}:
            raise TypeError(
                f"{struct.__name__}.{field} is personal, so that an erasure blanks it: declare it as"
                " Personal[str] or Personal[str] | None."
            )


def _marked(struct: type[msgspec.Struct], mark: str) -> frozenset[str]:
    hints = get_type_hints(struct, include_extras=True)
    return frozenset(field for field in struct.__struct_fields__ if _has_mark(hints[field], mark))


def _has_mark(hint: object, mark: str) -> bool:
    """Returns whether a type, or one that it is made of, such as `Personal[str] | None`, has the mark."""
    return mark in getattr(hint, "__metadata__", ()) or any(
        _has_mark(part, mark) for part in get_args(hint)
    )


def _holds_text(hint: Any, visited: set[type]) -> bool:
    """Returns whether a value of the type may hold any text. A struct is visited once."""
    hint = getattr(hint, "__supertype__", hint)
    parts: Iterable[Any] = get_args(hint)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        if hint in visited:
            return False
        visited.add(hint)
        hints = get_type_hints(hint)
        parts = [hints[field] for field in hint.__struct_fields__]
    return hint in _TEXT or any(_holds_text(part, visited) for part in parts)
