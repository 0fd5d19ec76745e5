"""The base of all events, and the types that say which of their text identifies a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar, get_args, get_type_hints

import msgspec

T = TypeVar("T")


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="type"):
    """The base of all events: an immutable value whose tag, the class name, is stored as its type."""


_PERSONAL: Final = "personal"
_NON_PERSONAL: Final = "non-personal"

Personal = Annotated[T, _PERSONAL]
"""The type of a field that identifies a person: `Personal[str]`. An erasure blanks it in the tables and in
every event of the aggregate. The text of an event is either this or `NonPersonal[str]`."""

NonPersonal = Annotated[T, _NON_PERSONAL]
"""The type of a field whose text identifies nobody, such as a stock keeping unit: an erasure keeps it."""

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""Converts the fields of a stored event from one schema version to the next."""


def personal_fields(struct: type[msgspec.Struct]) -> frozenset[str]:
    """Returns the names of the fields of a struct that are declared as Personal."""
    return frozenset(name for name, marks in _marks(struct) if _PERSONAL in marks)


def undeclared_text(struct: type[msgspec.Struct]) -> frozenset[str]:
    """Returns the names of the fields that may hold any text and are neither Personal nor NonPersonal."""
    types = {field.name: field.type for field in msgspec.structs.fields(struct)}
    return frozenset(
        name for name, marks in _marks(struct) if not marks and _holds_text(types[name])
    )


def _marks(struct: type[msgspec.Struct]) -> list[tuple[str, set[str]]]:
    hints = get_type_hints(struct, include_extras=True)
    return [
        (name, {_PERSONAL, _NON_PERSONAL}.intersection(_metadata(hints[name])))
        for name in struct.__struct_fields__
    ]


def _metadata(hint: object) -> set[str]:
    """Returns the marks of a type and of the types that it is made of, such as `Personal[str] | None`."""
    marks: set[str] = {mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, str)}
    return marks.union(*(_metadata(part) for part in get_args(hint) if not isinstance(part, str)))


def _holds_text(hint: object) -> bool:
    return hint is str or any(_holds_text(part) for part in get_args(hint))
