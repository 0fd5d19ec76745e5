"""The GraphQL types of users: User, and the connection of all users."""

from typing import Self
from uuid import UUID

import strawberry

from api.engine.cost.directives import CONNECTION, READ
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
from domain.value_parsing import format_money
from readside.projections import user_list, users
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


@strawberry.type(description="A page of the users, newest first.")
class UserConnection:
    edges: list[UserEdge] = strawberry.field(description="The users with their cursors.")
    nodes: list[User] = strawberry.field(description="The users alone.")
    page_info: PageInfo = strawberry.field(description="Where this page lies in the list.")

    @fields.field("How many users there are.", READ)
    async def total_count(self, info: Info) -> int:
        return await user_list.count(info.context.read_model)


async def all_users(info: Info, request: PageRequest[UUID]) -> UserConnection:
    """Returns a page of all users; reads the users themselves only if the client selected them."""
    page = await user_list.page(info.context.read_model, request)
    ids = page.ids if info.selects("edges", "nodes") else {}
    nodes = [User.from_row(row) for row in await users.fetch_many(info.context.read_model, ids)]
    edges = nodes if info.selects("edges") else []
    return UserConnection(
        edges=[UserEdge(cursor=encode_cursor(node.id), node=node) for node in edges],
        nodes=nodes,
        page_info=page_info(request, list(page.ids), more=page.has_more),
    )
