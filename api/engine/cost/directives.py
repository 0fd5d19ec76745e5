"""The directives @cost and @listSize of the IBM cost specification draft, declared on fields of the schema.

Fields that read a list or run a command declare it; operation_cost.py adds the costs up before execution.
"""

from __future__ import annotations

from typing import TypeVar

import strawberry
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
)
from strawberry.schema_directive import Location
from strawberry.types.field import StrawberryField

_D = TypeVar("_D", bound="Cost | ListSize | AllPartitions")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    description="What a field costs. Without it: 1 for an object, 0 for a scalar or an enum.",
)
class Cost:
    weight: str = strawberry.directive_field(name="weight")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    description="The number of items that a list is assumed to have before it is read.",
)
class ListSize:
    # In alphabetical order, because the schema is printed sorted.
    assumed_size: int | None = strawberry.directive_field(
        name="assumedSize", default=strawberry.UNSET
    )
    require_one_slicing_argument: bool | None = strawberry.directive_field(
        name="requireOneSlicingArgument", default=True
    )
    sized_fields: list[str] | None = strawberry.directive_field(
        name="sizedFields", default=strawberry.UNSET
    )
    slicing_arguments: list[str] | None = strawberry.directive_field(
        name="slicingArguments", default=strawberry.UNSET
    )


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    description="The number of reads of all partitions, by the field or by each item of its list. Such a read"
    " costs 1 more for each four partitions above eight.",
)
class AllPartitions:
    by_field: int | None = strawberry.directive_field(name="byField", default=strawberry.UNSET)
    by_item: int | None = strawberry.directive_field(name="byItem", default=strawberry.UNSET)


COMMAND = Cost(weight="10")
"""The cost of a transaction in PostgreSQL."""
READ = Cost(weight="1")
"""The cost of a scalar that takes a read of its own."""
SLICED = ListSize(slicing_arguments=["first"], require_one_slicing_argument=False)
SCATTERED = AllPartitions(by_field=1)
CONNECTION = ListSize(
    slicing_arguments=["first", "last"],
    sized_fields=["edges", "nodes"],
    require_one_slicing_argument=False,
)


def weight_of(field: GraphQLField) -> int:
    """Returns the cost of one value of the field, without its own fields."""
    declared = _directive(field, Cost)
    if declared is not None:
        return int(declared.weight)
    return 0 if is_leaf_type(get_named_type(field.type)) else 1


def list_size_of(field: GraphQLField) -> ListSize | None:
    """Returns the declared length of the list, or of the lists in the connection."""
    return _directive(field, ListSize)


def all_partitions_of(field: GraphQLField) -> AllPartitions | None:
    """Returns the declared read of all partitions."""
    return _directive(field, AllPartitions)


def fields_by_type(schema: GraphQLSchema) -> dict[str, dict[str, GraphQLField]]:
    """Returns the fields of every type that has some, by the type's name."""
    return {
        name: dict(type_.fields)
        for name, type_ in schema.type_map.items()
        if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType))
    }


def _directive(field: GraphQLField, class_: type[_D]) -> _D | None:
    definition = (field.extensions or {}).get("strawberry-definition")
    directives = definition.directives if isinstance(definition, StrawberryField) else ()
    return next((item for item in directives if isinstance(item, class_)), None)
