"""Which fields have a resolver, and its `info`: the context, and which fields the client selected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec
import strawberry
from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_subfields
from strawberry.types.field import StrawberryField

from api.auth.scopes import Caller
from api.engine.stream_position import StreamPosition

C = TypeVar("C")


def has_resolver(field: GraphQLField) -> bool:
    """Returns whether a resolver is called for the field, instead of reading an attribute."""
    definition = (field.extensions or {}).get("strawberry-definition")
    return isinstance(definition, StrawberryField) and definition.base_resolver is not None


def possible_types(schema: GraphQLSchema, type_: GraphQLType) -> Iterable[GraphQLObjectType]:
    """Returns the types that the objects in values of a type may have; none for scalars and enums."""
    named: Any = get_named_type(type_)
    if is_leaf_type(named):
        return ()
    return schema.get_possible_types(named) if is_abstract_type(named) else (named,)


class CallerContext(Protocol):
    """The part of a resolver's context that the engine uses."""

    @property
    def caller(self) -> Caller: ...

    def for_caller(self, caller: Caller, position: StreamPosition | None = None) -> Self:
        """Returns the context of a request of this caller, or of a stream with this position."""
        ...


class ResolverInfo(msgspec.Struct, Generic[C]):
    """The `info` that a compiled plan passes to a resolver: resolvers may use nothing else."""

    context: C
    selected: frozenset[str]

    def selects(self, *names: str) -> bool:
        """Returns whether the client selected one of these fields of the resolver's result."""
        return not self.selected.isdisjoint(names)


class StrawberryInfo(strawberry.Info[Any, None]):
    """The `info` that a resolver gets when graphql-core runs it: Strawberry's, with `selects`."""

    def selects(self, *names: str) -> bool:
        """Returns whether the client selected one of these fields, also by an alias or in a fragment."""
        info = self._raw_info
        fragments = {name: FragmentDetails(node) for name, node in info.fragments.items()}
        execution = info.schema, fragments, info.variable_values, info.operation
        details = [FieldDetails(node, None) for node in info.field_nodes]
        return any(
            fields[0].node.name.value in names
            for type_ in possible_types(info.schema, info.return_type)
            for fields in collect_subfields(*execution, type_, details).grouped_field_set.values()
        )
