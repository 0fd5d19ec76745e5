"""The query fields `node` and `nodes`: objects of all aggregates by their ids, as Relay refetches them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import strawberry

from api.engine.cost.directives import AllPartitions, Cost, ListSize
from api.errors import bad_input, failure
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.payload_type import RowType
from api.resolvers.query_arguments import parse_argument, parse_id_argument
from domain.aggregate_contract import Aggregate
from domain.value_parsing import parse_identifier
from readside.queries.reader import ReadModel

_SCATTER_COST: Final = 2
"""The cost of a read of up to eight partitions; one of a single partition costs 1."""

NodeId = Annotated[strawberry.ID, strawberry.argument(name="id", description="The object's id.")]
NodeIds = Annotated[
    list[strawberry.ID],
    strawberry.argument(
        description="The ids of the objects, at most 100, in the order of the response."
    ),
]


@strawberry.interface(description="An object that can be fetched by its id.")
class Node:
    id: strawberry.ID = strawberry.field(
        description="The object's id, a UUID. No two objects have the same, whatever their types."
    )


@dataclass(frozen=True)
class NodeType:
    """A type that implements Node, and how its objects are fetched."""

    graphql_type: type[RowType]
    aggregate: Aggregate
    find: Callable[[ReadModel, Sequence[UUID]], Awaitable[list[Any]]]
    """Returns the rows with these ids, without those that do not exist; in any order."""
    scattered: bool = False
    """Whether `find` reads all partitions: the id does not determine the partition."""


def node_query(types: Sequence[NodeType]) -> type:
    """Returns the class of the query fields `node` and `nodes` of these types."""
    types = sorted(types, key=lambda type_: type_.scattered)
    scattered = sum(type_.scattered for type_ in types)
    costs: list[Cost | AllPartitions] = [
        Cost(weight=str(len(types) + (_SCATTER_COST - 1) * scattered))
    ]
    if scattered:
        costs.append(AllPartitions(by_item=scattered))
    described = f"{_described(types)} Scope: the one to read an object of its type."

    @strawberry.type(name="Query")
    class NodeQuery:
        @fields.field(f"An object by its id; null if it does not exist. {described}", *costs)
        async def node(self, info: Info, node_id: NodeId) -> Node | None:
            found: list[Node | None] = await _find(info, types, [parse_id_argument(node_id)])
            return found[0]

        @fields.field(
            f"Objects by their ids, in this order, with null for one that does not exist. {described}",
            *costs,
            ListSize(slicing_arguments=["ids"], require_one_slicing_argument=True),
        )
        async def nodes(self, info: Info, ids: NodeIds) -> list[Node | None]:
            limit = info.context.max_page_size
            if len(ids) > limit:
                raise bad_input(
                    "ids", f"At most {limit} objects can be fetched at once, not {len(ids)}."
                )
            return await _find(
                info, types, [parse_argument("ids", text, parse_identifier) for text in ids]
            )

    return NodeQuery


def _described(types: Sequence[NodeType]) -> str:
    """Returns the sentence on the reads that an id costs."""
    names = {
        scattered: ", ".join(
            type_.graphql_type.__name__ for type_ in types if type_.scattered is scattered
        )
        for scattered in (False, True)
    }
    searched = f"; then in all, for {_SCATTER_COST}: {names[True]}" if names[True] else ""
    return f"An id is looked up in its partition, for a cost of 1: {names[False]}{searched}."


async def _find(info: Info, types: Sequence[NodeType], ids: Sequence[UUID]) -> list[Any]:
    """Returns the object of each id, or None if it does not exist.

    The error FORBIDDEN is in its place if it may be of a type that the caller may not read.
    """
    found: dict[str, Any] = {}
    missing, forbidden = ids, ""
    for node_type in types:
        scope = node_type.aggregate.scope("read")
        if scope not in info.context.caller.scopes:
            forbidden = scope
        elif missing:
            for row in await node_type.find(info.context.read_model, missing):
                found[row.id] = node_type.graphql_type.from_row(row)
            missing = [id_ for id_ in missing if str(id_) not in found]
    absent = failure("FORBIDDEN", f"An object of this id may need the scope {forbidden}.")
    return [found.get(str(id_), absent if forbidden else None) for id_ in ids]
