"""The GraphQL types of users: User, and the connection of all users."""

from typing import Self
from uuid import UUID

import strawberry

from api.engine.cost.directives import CONNECTION, READ, SCATTERED
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.nodes import Node
from api.resolvers.pagination import (
    PAGE_SIZE,
    After,
    Before,
    First,
    Last,
    PageInfo,
    encode_cursor,
    page_info,
    page_request,
)
from api.resolvers.scalars import DateTime, EmailAddress, Money
from api.schema.users.types.order_types import OrderConnection, orders_of, parse_sequence
from api.schema.users.types.user_selection import UserSelection
from domain.value_parsing import format_money
from readside.projections import users
from readside.projections.users import UserRow
from readside.queries.page_request import PageRequest


@strawberry.type(description="A person who is registered.")
class User(Node):
    id: strawberry.ID = strawberry.field(description="The user's id, a UUID.")
    name: str = strawberry.field(description="What the user is called.")
    email: EmailAddress = strawberry.field(description="Where mail reaches the user.")
    created_at: DateTime = strawberry.field(description="When the user was registered.")
    updated_at: DateTime = strawberry.field(description="When the user was last changed.")
    version: int = strawberry.field(
        description="Grows by one with every change of the user or of its orders."
    )
    order_count: int = strawberry.field(description="How many orders the user has placed.")
    lifetime_value: Money = strawberry.field(description="The sum of the completed orders.")

    @fields.field("The user's orders, newest first.", CONNECTION)
    async def orders(
        self,
        info: Info,
        first: First = PAGE_SIZE,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> OrderConnection:
        request = page_request(info, first, after, last, before, parse_sequence)
        return await orders_of(info, UUID(self.id), request)

    @classmethod
    def from_row(cls, row: UserRow) -> Self:
        return cls(
            id=strawberry.ID(row.id),
            name=row.name,
            email=EmailAddress(row.email),
            created_at=DateTime(row.created_at),
            updated_at=DateTime(row.updated_at),
            version=row.version,
            order_count=row.order_count,
            lifetime_value=Money(format_money(row.lifetime_value)),
        )


@strawberry.type(description="A user in a list.")
class UserEdge:
    cursor: str = strawberry.field(description="Marks this place in the list.")
    node: User = strawberry.field(description="The user.")


@strawberry.type(description="A page of users.")
class UserConnection:
    edges: list[UserEdge] = strawberry.field(description="The users with their cursors.")
    nodes: list[User] = strawberry.field(description="The users alone.")
    page_info: PageInfo = strawberry.field(description="Where this page lies in the list.")

    selection: strawberry.Private[UserSelection]

    @fields.field("How many users there are, on all pages.", READ, SCATTERED)
    async def total_count(self, info: Info) -> int:
        selection = self.selection
        return await selection.index.count(info.context.read_model, selection.prefix)


async def selected_users(
    info: Info, selection: UserSelection, request: PageRequest[str]
) -> UserConnection:
    """Returns a page of a selection; reads the users themselves only if the client selected them."""
    read_model = info.context.read_model
    page = await selection.index.page(read_model, request, selection.prefix)
    ids = page.ids if info.selects("edges", "nodes") else {}
    nodes = [User.from_row(row) for row in await users.fetch_many(read_model, ids)]
    edges = nodes if info.selects("edges") else []
    cursors = dict(zip(page.ids, map(selection.cursor_of, page.positions), strict=True))
    return UserConnection(
        edges=[UserEdge(cursor=encode_cursor(cursors[node.id]), node=node) for node in edges],
        nodes=nodes,
        page_info=page_info(request, list(cursors.values()), more=page.has_more),
        selection=selection,
    )
