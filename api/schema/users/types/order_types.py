"""The GraphQL types of orders: Order, and the connection of a user's orders."""

from typing import Self
from uuid import UUID

import strawberry

from api.engine.cost.directives import READ
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.nodes import Node
from api.resolvers.pagination import PageInfo, encode_cursor, page_info
from api.resolvers.scalars import DateTime, Money
from api.schema.users.types.enums import OrderStatus
from domain.value_parsing import Invalid, format_money
from readside.projections import orders
from readside.projections.orders import OrderRow
from readside.queries.page_request import PageRequest


@strawberry.type(description="Something a user ordered.")
class Order(Node):
    id: strawberry.ID = strawberry.field(description="The order's id, a UUID.")
    status: OrderStatus = strawberry.field(description="How far the order has come.")
    total: Money = strawberry.field(description="What the order costs.")
    placed_at: DateTime = strawberry.field(description="When the order was placed.")
    completed_at: DateTime | None = strawberry.field(
        description="When it was completed, if it was."
    )

    @classmethod
    def from_row(cls, row: OrderRow) -> Self:
        return cls(
            id=strawberry.ID(row.id),
            status=OrderStatus(row.status),
            total=Money(format_money(row.total)),
            placed_at=DateTime(row.placed_at),
            completed_at=None if row.completed_at is None else DateTime(row.completed_at),
        )


@strawberry.type(description="An order in a list.")
class OrderEdge:
    cursor: str = strawberry.field(description="Marks this place in the list.")
    node: Order = strawberry.field(description="The order.")


@strawberry.type(description="A page of a user's orders, newest first.")
class OrderConnection:
    edges: list[OrderEdge] = strawberry.field(description="The orders with their cursors.")
    nodes: list[Order] = strawberry.field(description="The orders alone.")
    page_info: PageInfo = strawberry.field(description="Where this page lies in the list.")
    user_id: strawberry.Private[UUID]

    @fields.field("How many orders the user has.", READ)
    async def total_count(self, info: Info) -> int:
        return await orders.count(info.context.read_model, self.user_id)


async def orders_of(info: Info, user_id: UUID, request: PageRequest[int]) -> OrderConnection:
    """Returns a page of a user's orders."""
    page = await orders.page(info.context.read_model, user_id, request)
    nodes = [Order.from_row(row) for row in page.rows]
    positions = [str(row.sequence) for row in page.rows]
    edges = zip(positions, nodes, strict=True) if info.selects("edges") else ()
    return OrderConnection(
        edges=[OrderEdge(cursor=encode_cursor(position), node=node) for position, node in edges],
        nodes=nodes,
        page_info=page_info(request, positions, more=page.has_more),
        user_id=user_id,
    )


def parse_sequence(digits: str) -> int:
    """Returns the position of an order. Raises Invalid."""
    if not digits.isdecimal() or len(digits) > 15:
        raise Invalid("This is not the position of an order.")
    return int(digits)
