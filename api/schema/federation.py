"""The schema as a subgraph of Apollo Federation 2: the same types, and the two fields that a gateway reads.

An entity is a type that is fetched by its id from one partition (NODES of its package); its key is `id`.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Final, NewType, Optional, Union
from uuid import UUID

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types import get_object_definition
from strawberry.types.scalar import ScalarDefinition

from api.engine.cost.directives import Cost, ListSize
from api.errors import bad_input, failure
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.nodes import NodeType
from api.resolvers.query_arguments import parse_argument
from api.schema.merged import build, nodes_of, sdl
from api.schema.packages import PACKAGES
from domain.value_parsing import parse_identifier

_LINK: Final = """extend schema
  @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])
"""
_SHAREABLE: Final = "PageInfo"
"""A type that other subgraphs may define as well, with the same fields."""

_SDL_COST: Final = "100"
"""The cost of the text of the schema, which is as long as that of hundreds of fields."""

_Any = NewType("_Any", object)

_ANY: Final[ScalarDefinition] = strawberry.scalar(
    name="_Any", description="A representation of an entity: its __typename and its id."
)

_Representations = Annotated[
    list[_Any],
    strawberry.argument(description="The entities, at most 100, in the order of the response."),
]


def subgraph(*, introspection: bool) -> tuple[GraphQLSchema, GraphQLCoreConverter]:
    """Returns the schema of the subgraph; without introspection it does not have the field `_service`."""
    entities = [node_type for node_type in nodes_of(PACKAGES) if not node_type.scattered]
    by_name = {
        get_object_definition(each.graphql_type, strict=True).name: each for each in entities
    }
    queries = [_entities_query(by_name)] if by_name else []
    if introspection:
        queries.append(_service_query(subgraph_sdl(by_name)))
    schema = build(PACKAGES, *queries, scalars={_Any: _ANY})
    return schema.core, schema.schema_converter


def subgraph_sdl(entities: Collection[str]) -> str:
    """Returns the text of the schema for composition, without the fields of a gateway."""
    text = sdl()
    for name, directive in (
        (_SHAREABLE, "@shareable"),
        *((name, '@key(fields: "id")') for name in entities),
    ):
        text = re.sub(rf"^type {name}\b[^{{]*", rf"\g<0>{directive} ", text, flags=re.MULTILINE)
    return f"{_LINK}\n{text}"


def _service_query(text: str) -> type:
    """Returns the class of the query field `_service`."""

    @strawberry.type(name="_Service", description="What a gateway composes its schema of.")
    class FederatedService:
        sdl: str = strawberry.field(
            description="The schema of this subgraph.", directives=[Cost(weight=_SDL_COST)]
        )

    @strawberry.type(name="Query")
    class ServiceQuery:
        @fields.field("This subgraph.", name="_service")
        def service(self) -> FederatedService:
            return FederatedService(sdl=text)

    return ServiceQuery


def _entities_query(types: Mapping[str, NodeType]) -> type:
    """Returns the class of the query field `_entities` of these types."""
    members = tuple(node_type.graphql_type for node_type in types.values())
    union: Any = Annotated[
        Union[members],  # noqa: UP007 (a union of classes that are passed)
        strawberry.union("_Entity", description="A type with a key."),
    ]

    async def entities(self: object, info: Info, representations: _Representations) -> Any:
        return await _find(info, types, representations)

    entities.__annotations__["return"] = list[Optional[union]]  # noqa: UP045 (a union that is passed)
    field = fields.field(
        "Entities by their keys, in this order, with null for one that does not exist. Scope: the one to read"
        " an object of its type.",
        ListSize(slicing_arguments=["representations"], require_one_slicing_argument=True),
        name="_entities",
    )(entities)
    return strawberry.type(type("Query", (), {"entities": field}))


async def _find(
    info: Info, types: Mapping[str, NodeType], representations: Sequence[object]
) -> list[Any]:
    """Returns the entity of each representation, or None if it does not exist. Raises FORBIDDEN."""
    limit = info.context.max_page_size
    if len(representations) > limit:
        raise bad_input(
            "representations", f"At most {limit} are allowed, not {len(representations)}."
        )
    keys = [_key(types, representation) for representation in representations]
    ids: defaultdict[str, list[UUID]] = defaultdict(list)
    for name, id_ in keys:
        ids[name].append(id_)
    for name in ids:
        scope = types[name].aggregate.scope("read")
        if scope not in info.context.caller.scopes:
            raise failure("FORBIDDEN", f"{name} needs a token with the scope {scope}.")
    found: dict[tuple[str, str], Any] = {}
    for name, wanted in ids.items():
        for row in await types[name].find(info.context.read_model, wanted):
            found[name, row.id] = types[name].graphql_type.from_row(row)
    return [found.get((name, str(id_))) for name, id_ in keys]


def _key(types: Mapping[str, NodeType], representation: object) -> tuple[str, UUID]:
    """Returns the type and the id; other fields are ignored. Raises BAD_USER_INPUT."""
    match representation:
        case {"__typename": str(name), "id": str(id_)} if name in types:
            return name, parse_argument("representations", id_, parse_identifier)
    known = " or ".join(types)
    raise bad_input(
        "representations", f"Each needs the __typename {known}, and the id as a string."
    )
