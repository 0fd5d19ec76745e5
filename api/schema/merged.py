"""The GraphQL schema of all aggregates, merged, and its text, which is committed as schema.graphql."""

from collections import Counter
from collections.abc import Collection
from copy import copy
from functools import cache
from types import ModuleType
from typing import Self

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    Undefined,
    lexicographic_sort_schema,
)
from strawberry import Schema
from strawberry.printer import print_schema
from strawberry.schema.config import StrawberryConfig
from strawberry.types import get_object_definition

from api.engine.resolver_info import StrawberryInfo
from api.resolvers.fields import guard
from api.resolvers.nodes import NodeType, node_query
from api.resolvers.scalars import SCALARS, Scalars
from api.schema.packages import PACKAGES


class _StrawberrySchema(Schema):
    """The schema as Strawberry declares it; operations run on graphql-core's, its attribute `core`."""

    @property
    def core(self) -> GraphQLSchema:
        return self._schema

    def sorted(self) -> Self:
        """Returns a copy for printing only: sorted unions cannot be resolved."""
        sorted_copy = copy(self)
        sorted_copy._schema = lexicographic_sort_schema(self._schema)  # noqa: SLF001 (of this class)
        return sorted_copy

    def _extend_introspection(self) -> None:
        """Replaces Strawberry's resolver of isOneOf, which raises for a wrapping type (`[T!]`)."""
        type_ = self.core.type_map["__Type"]
        assert isinstance(type_, GraphQLObjectType)
        type_.fields["isOneOf"].resolve = _is_one_of


def _is_one_of(type_: GraphQLType, _info: object) -> bool | None:
    if not isinstance(type_, GraphQLInputObjectType):
        return None
    return bool(type_.extensions["strawberry-definition"].is_one_of)


def nodes_of(packages: Collection[ModuleType]) -> list[NodeType]:
    """Returns the types of these packages that are fetched by their ids."""
    return [node_type for package in packages for node_type in getattr(package, "NODES", ())]


def build(
    packages: Collection[ModuleType], *others: type, scalars: Scalars | None = None
) -> _StrawberrySchema:
    """Builds the schema of these packages and of other queries, which may need more scalars.

    Raises TypeError if two of them have the same field.
    """
    config = StrawberryConfig(info_class=StrawberryInfo, scalar_map={**SCALARS, **(scalars or {})})
    nodes = nodes_of(packages)
    queries = [*([node_query(nodes)] if nodes else []), *others]
    schema = _StrawberrySchema(
        _merged(packages, "Query", "The queries. They read the read model.", *queries),
        _merged(packages, "Mutation", "The mutations. Each is one command, in one transaction."),
        _merged(packages, "Subscription", "The subscriptions."),
        config=config,
    )
    for value in _inputs(schema.core):
        # A Python default of None means that the input is optional; clients must not see it as a default.
        if value.default_value is None:
            value.default_value = Undefined
    for type_ in schema.core.type_map.values():
        if isinstance(type_, GraphQLObjectType):
            for field in type_.fields.values():
                guard(field)
    return schema


def _merged(packages: Collection[ModuleType], name: str, description: str, *others: type) -> type:
    """Returns the root type with the fields of all packages and of the other types."""
    types = tuple(getattr(package, name) for package in packages if hasattr(package, name)) + others
    fields = (get_object_definition(type_, strict=True).fields for type_ in types)
    counts = Counter(field.name for fields_of_type in fields for field in fields_of_type)
    if twice := [field for field, count in counts.items() if count > 1]:
        raise TypeError(f"Two aggregates have a field {twice[0]} in {name}: rename one of them.")
    return strawberry.type(type(name, types, {}), description=description)


def _inputs(core: GraphQLSchema) -> list[GraphQLArgument | GraphQLInputField]:
    inputs: list[GraphQLArgument | GraphQLInputField] = []
    for named in core.type_map.values():
        match named:
            case GraphQLInputObjectType(fields=fields):
                inputs += fields.values()
            case GraphQLObjectType(fields=fields) | GraphQLInterfaceType(fields=fields):
                inputs += [arg for field in fields.values() for arg in field.args.values()]
    return inputs


_SCHEMA = build(PACKAGES)
SCHEMA = _SCHEMA.core
CONVERTER = _SCHEMA.schema_converter
"""Converts between Strawberry's types and graphql-core's."""


@cache
def sdl() -> str:
    """Returns the schema in the schema definition language, sorted, so that every difference is a change."""
    return print_schema(_SCHEMA.sorted()) + "\n"
