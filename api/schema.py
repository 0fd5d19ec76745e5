"""The schema that is served, and its text, which schema.graphql at the repository root holds."""

from functools import cache

from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    lexicographic_sort_schema,
    print_schema,
)
from strawberry import Schema
from strawberry.schema.config import StrawberryConfig

from api.context import Info
from api.mutations import Mutation
from api.queries import Query
from api.scalars import SCALARS
from api.subscriptions import Subscription


class _Declared(Schema):
    """Strawberry declares the schema; we execute on what graphql-core calls the schema."""

    @property
    def core(self) -> GraphQLSchema:
        return self._schema


def _build() -> GraphQLSchema:
    config = StrawberryConfig(info_class=Info, scalar_map=SCALARS)
    core = _Declared(Query, Mutation, Subscription, config=config).core
    for value in _inputs(core):
        # Python's None for "not given" is not a default that clients should be told of.
        if value.default_value is None:
            value.default_value = Undefined
    return core


def _inputs(core: GraphQLSchema) -> list[GraphQLArgument | GraphQLInputField]:
    inputs: list[GraphQLArgument | GraphQLInputField] = []
    for named in core.type_map.values():
        match named:
            case GraphQLInputObjectType(fields=fields):
                inputs += fields.values()
            case GraphQLObjectType(fields=fields) | GraphQLInterfaceType(fields=fields):
                inputs += [arg for field in fields.values() for arg in field.args.values()]
    return inputs


SCHEMA = _build()


@cache
def sdl() -> str:
    """The schema in the schema definition language, sorted, so that a difference is a change."""
    return print_schema(lexicographic_sort_schema(SCHEMA)) + "\n"
