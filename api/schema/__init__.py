"""The schema that is served, and its text, which schema.graphql at the repository root holds."""

from copy import copy
from functools import cache
from typing import Self

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

from api.engine.resolver_info import StrawberryInfo
from api.resolvers.scalars import SCALARS
from api.resolvers.scope_guard import guard
from api.schema.users.mutations import Mutation
from api.schema.users.queries import Query
from api.schema.users.subscriptions import Subscription


class _Declared(Schema):
    """Strawberry declares the schema; we execute on what graphql-core calls the schema."""

    @property
    def core(self) -> GraphQLSchema:
        return self._schema

    def sorted(self) -> Self:
        """To be printed only: sorted unions cannot be resolved."""
        other = copy(self)
        other._schema = lexicographic_sort_schema(self._schema)  # noqa: SLF001 (a copy of ours)
        return other

    def _extend_introspection(self) -> None:
        """As Strawberry does, whose own isOneOf breaks where a type wraps another (`[User!]`)."""
        type_ = self.core.type_map["__Type"]
        assert isinstance(type_, GraphQLObjectType)
        type_.fields["isOneOf"].resolve = _is_one_of


def _is_one_of(type_: GraphQLType, _info: object) -> bool | None:
    if not isinstance(type_, GraphQLInputObjectType):
        return None
    return bool(type_.extensions["strawberry-definition"].is_one_of)


def _build() -> _Declared:
    config = StrawberryConfig(info_class=StrawberryInfo, scalar_map=SCALARS)
    declared = _Declared(Query, Mutation, Subscription, config=config)
    for value in _inputs(declared.core):
        # Python's None for "not given" is not a default that clients should be told of.
        if value.default_value is None:
            value.default_value = Undefined
    for type_ in declared.core.type_map.values():
        if isinstance(type_, GraphQLObjectType):
            for field in type_.fields.values():
                guard(field)
    return declared


def _inputs(core: GraphQLSchema) -> list[GraphQLArgument | GraphQLInputField]:
    inputs: list[GraphQLArgument | GraphQLInputField] = []
    for named in core.type_map.values():
        match named:
            case GraphQLInputObjectType(fields=fields):
                inputs += fields.values()
            case GraphQLObjectType(fields=fields) | GraphQLInterfaceType(fields=fields):
                inputs += [arg for field in fields.values() for arg in field.args.values()]
    return inputs


_DECLARED = _build()
SCHEMA = _DECLARED.core
CONVERTER = _DECLARED.schema_converter
"""Between Strawberry's types and graphql-core's."""


@cache
def sdl() -> str:
    """The schema in the schema definition language, sorted, so that a difference is a change."""
    return print_schema(_DECLARED.sorted()) + "\n"
