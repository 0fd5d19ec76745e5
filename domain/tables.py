"""The columns of the tables of an aggregate, derived from the structs of its state and its children."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from functools import cache
from types import NoneType
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from domain.aggregate import Aggregate, AggregateState

_POSTGRES_TYPES: Final[dict[type, str]] = {
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


class ChildTable(NamedTuple):
    """The table of the children in a field of the state."""

    field: str
    name: str
    parent: str
    """The column with the id of the aggregate."""
    struct: type[msgspec.Struct]
    columns: dict[str, str]
    """The fields of a child, each with its PostgreSQL type."""


class RootTable(NamedTuple):
    """The table of an aggregate's state."""

    name: str
    fields: tuple[str, ...]
    """The fields of the state that are columns."""
    columns: dict[str, str]
    """All columns, each with its PostgreSQL type: the fields, then the derived keys."""

    def values(self, aggregate: Aggregate, state: AggregateState) -> list[object]:
        """Returns the values of the columns, in their order."""
        values = [getattr(state, field) for field in self.fields]
        for key in aggregate.unique:
            if key.derive is not None and key.source is not None:
                source = getattr(state, key.source)
                values.append(key.derive(source) if source else None)  # blank once erased
        return values


@cache
def root_table(aggregate: Aggregate) -> RootTable:
    types = _types(aggregate.state)
    fields = tuple(field for field in types if field not in aggregate.children)
    derived = [key.column for key in aggregate.unique if key.derive is not None]
    columns = {field: _postgres_type(aggregate.state, field, types[field]) for field in fields}
    return RootTable(aggregate.table, fields, columns | dict.fromkeys(derived, "text"))


@cache
def child_tables(aggregate: Aggregate) -> tuple[ChildTable, ...]:
    return tuple(
        ChildTable(
            field,
            children.table,
            children.parent,
            struct := aggregate.child_types[field],
            {name: _postgres_type(struct, name, hint) for name, hint in _types(struct).items()},
        )
        for field, children in aggregate.children.items()
    )


def child_table(aggregate: Aggregate, field: str) -> ChildTable:
    return next(table for table in child_tables(aggregate) if table.field == field)


def _types(struct: type[msgspec.Struct]) -> dict[str, Any]:
    hints = get_type_hints(struct)
    return {field: hints[field] for field in struct.__struct_fields__}


def _postgres_type(struct: type, field: str, hint: Any) -> str:
    """Returns the type of a column. Raises TypeError, in one sentence, for a type that no column can have."""
    [type_, *others] = [part for part in get_args(hint) if part is not NoneType] or [hint]
    if get_origin(hint) is Literal:
        type_ = type(type_)
    elif others or get_args(type_):
        type_ = None
    type_ = getattr(type_, "__supertype__", type_)
    if type_ not in _POSTGRES_TYPES:
        raise TypeError(
            f"{struct.__name__}.{field} has a type that is no column: use"
            f" {', '.join(sorted(type_.__name__ for type_ in _POSTGRES_TYPES))}, or declare its table in"
            " `children` of the aggregate."
        )
    return _POSTGRES_TYPES[type_]
