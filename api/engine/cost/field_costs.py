"""What each field of the schema costs, looked up once, for documents/costs.py to add up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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

from api.engine.cost.directives import cost_of, is_called, list_size_of, priced_fields

CALLED: Final = 10
"""Fields that one takes as long as for which a resolver is called."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldCost:
    """Of a field, looked up once for all documents."""

    field: GraphQLField
    weight: int
    fields: int
    """What it counts for among the fields of a response."""
    is_list: bool
    returns: GraphQLNamedType
    slicing: tuple[str, ...] = ()
    sized: tuple[str, ...] = ()
    assumed: int = 1


class FieldCosts:
    """The prices of a schema. `longest` is the most items a list is ever taken to have.

    Resolvers refuse a longer page, so asking for one costs no more than that.
    """

    def __init__(self, schema: GraphQLSchema, longest: int) -> None:
        self.schema = schema
        self.longest = longest
        self.of = {
            type_: {name: _price(field) for name, field in fields.items()}
            for type_, fields in priced_fields(schema).items()
        }

    def possible(self, type_: GraphQLNamedType) -> Iterable[GraphQLNamedType]:
        """The object types that a value of this type may have."""
        return self.schema.get_possible_types(type_) if _is_abstract(type_) else (type_,)

    def applies(self, condition: str, type_: GraphQLNamedType) -> bool:
        named = self.schema.get_type(condition)
        return named is not None and type_ in self.possible(named)


def _price(field: GraphQLField) -> FieldCost:
    size = list_size_of(field)
    return FieldCost(
        field=field,
        weight=cost_of(field),
        fields=CALLED if is_called(field) else 1,
        is_list=is_list_type(get_nullable_type(field.type)),
        returns=get_named_type(field.type),
        slicing=tuple(size.slicing_arguments or ()) if size else (),
        sized=tuple(size.sized_fields or ()) if size else (),
        assumed=(size.assumed_size or 1) if size else 1,
    )


def _is_abstract(type_: GraphQLNamedType) -> TypeGuard[GraphQLAbstractType]:
    return is_abstract_type(type_)
