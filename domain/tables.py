"""The tables of an aggregate: their columns, derived from the structs of its state and its children."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from domain.refusal import Refusal

_POSTGRES_TYPES: Final[dict[Any, str]] = {
    UUID: "uuid",
    str: "text",
    int: "bigint",
    bool: "boolean",
    float: "double precision",
    Decimal: "numeric",
    date: "date",
    datetime: "timestamptz",
    bytes: "bytea",
}


class Children(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that belong to an aggregate: their table, and its column with the id of the aggregate."""

    table: str
    parent: str
    unique: Mapping[str, type[Refusal]] = {}
    """By unique constraint of the table, none of whose columns is personal, the refusal of a command that
    violates it. It is `deferrable`, so that one command may exchange the values of two children."""


class ChildTable(msgspec.Struct, frozen=True):
    """The table of the children in a field of the state."""

    field: str
    name: str
    parent: str
    struct: type[msgspec.Struct]
    columns: dict[str, str]
    """The fields of a child, each with its PostgreSQL type."""

    def child(self, values: Iterable[object]) -> Any:
        """Returns the child with these values of the columns."""
        return self.struct(**dict(zip(self.columns, values, strict=True)))


class RootTable(msgspec.Struct, frozen=True):
    """The table of an aggregate's state."""

    name: str
    columns: dict[str, str]
    """All columns, each with its PostgreSQL type: the fields of the state, then the derived ones."""
    derived: dict[str, tuple[str, Callable[[str], str]]]
    """The columns that are computed from a field, each with the field and the function."""
    get_fields: Callable[[object], tuple[object, ...]]

    def values(self, state: object) -> list[object]:
        """Returns the values of the columns, in their order."""
        values = [*self.get_fields(state)]
        for field, derive in self.derived.values():
            source = getattr(state, field)
            values.append(derive(source) if source else None)  # blank once erased
        return values


def listed(columns: Iterable[str], prefix: str = "") -> str:
    """Returns columns as SQL. Quoted, because the field of a state may be a reserved word, such as `end`."""
    return ", ".join(f'{prefix}"{column}"' for column in columns)


def column_types(
    struct: type[msgspec.Struct], *, apart_from: Collection[str] = frozenset()
) -> dict[str, str]:
    """Returns the PostgreSQL type of each field. Raises TypeError for a field that cannot be a column."""
    hints = get_type_hints(struct)
    return {
        field: _postgres_type(f"{struct.__name__}.{field}", hints[field])
        for field in struct.__struct_fields__
        if field not in apart_from
    }


def _postgres_type(field: str, hint: Any) -> str:
    parts = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    [type_, *others] = [part for part in parts if part is not NoneType]
    if get_origin(type_) is Literal:
        type_ = type(get_args(type_)[0])
    type_ = getattr(type_, "__supertype__", type_)
    if others or type_ not in _POSTGRES_TYPES:
        raise TypeError(
            f"{field} cannot be a column: its type must be one of"
            f" {', '.join(sorted(type_.__name__ for type_ in _POSTGRES_TYPES))}; children are declared in"
            " `children` of the aggregate."
        )
    return _POSTGRES_TYPES[type_]
