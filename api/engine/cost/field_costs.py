"""The costs of the fields of a schema, looked up once for operation_cost.py."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeGuard

from graphql import (
    GraphQLAbstractType,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_list_type,
)

from api.engine.cost.directives import (
    all_partitions_of,
    fields_by_type,
    list_size_of,
    weight_of,
)
from api.engine.resolver_info import has_resolver

RESOLVER_FIELDS: Final = 10
"""Fields that a field with a resolver counts for in a response: it takes as long as so many attributes."""


_INCLUDED_PARTITIONS: Final = 8
"""Partitions that the weight of a field covers that reads all of them."""

_PARTITIONS_PER_COST: Final = 4
"""Partitions whose reads take as long as that of an object of a list, here and in Redis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldCost:
    """The cost of a field."""

    field: GraphQLField
    weight: int
    once: int
    """The cost in addition to that of its values, however many it has."""
    fields: int
    """Fields that it counts for in a response."""
    is_list: bool
    type: GraphQLNamedType
    slicing: tuple[str, ...] = ()
    """Arguments that give the length of the list."""
    sized: tuple[str, ...] = ()
    """Fields of a connection that have that length."""
    assumed_size: int = 1
    """The length if no such argument is given: its default, if it has one."""


class FieldCosts:
    """The costs of all fields of a schema. No list is taken to be longer than `max_list_length`.

    Resolvers refuse a longer page, so requesting one costs no more than that.
    """

    def __init__(self, schema: GraphQLSchema, max_list_length: int, partitions: int) -> None:
        self.schema = schema
        self.max_list_length = max_list_length
        above = max(0, partitions - _INCLUDED_PARTITIONS)
        self.by_type = _costs_by_type(schema, math.ceil(above / _PARTITIONS_PER_COST))

    def possible_types(self, type_: GraphQLNamedType) -> Iterable[GraphQLNamedType]:
        """Returns the object types that a value of this type may have."""
        return self.schema.get_possible_types(type_) if _is_abstract(type_) else (type_,)

    def applies(self, condition: str, type_: GraphQLNamedType) -> bool:
        """Returns whether a fragment with this type condition applies to an object type."""
        named = self.schema.get_type(condition)
        return named is not None and type_ in self.possible_types(named)


@lru_cache(maxsize=4)
def _costs_by_type(schema: GraphQLSchema, scatter: int) -> dict[str, dict[str, FieldCost]]:
    """Returns the costs of all fields, which the executors of a schema share."""
    return {
        type_: {name: _field_cost(field, scatter) for name, field in fields.items()}
        for type_, fields in fields_by_type(schema).items()
    }


def _field_cost(field: GraphQLField, scatter: int) -> FieldCost:
    """`scatter` is the cost of a read of all partitions beyond the weight of the field."""
    scattered = all_partitions_of(field)
    size = list_size_of(field)
    slicing = tuple(size.slicing_arguments or ()) if size else ()
    defaults = [field.args[name].default_value for name in slicing]
    assumed_size = (size.assumed_size or 1) if size else 1
    return FieldCost(
        field=field,
        weight=weight_of(field) + (scatter * (scattered.by_item or 0) if scattered else 0),
        once=scatter * (scattered.by_field or 0) if scattered else 0,
        fields=RESOLVER_FIELDS if has_resolver(field) else 1,
        is_list=is_list_type(get_nullable_type(field.type)),
        type=get_named_type(field.type),
        slicing=slicing,
        sized=tuple(size.sized_fields or ()) if size else (),
        assumed_size=max(
            (size for size in defaults if isinstance(size, int)), default=assumed_size
        ),
    )


def _is_abstract(type_: GraphQLNamedType) -> TypeGuard[GraphQLAbstractType]:
    return is_abstract_type(type_)
