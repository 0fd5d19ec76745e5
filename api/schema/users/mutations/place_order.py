"""placeOrder: places an order for a user."""

from typing import Annotated

import strawberry

from api.auth.scopes import Scope
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.scalars import Money
from api.schema.users.payload import Payload
from api.schema.users.refusal_types import (
    IdempotencyKeyReused,
    InvalidInput,
    UserNotFound,
    VersionConflict,
)
from api.schema.users.run_command import InputParser, UserCommandInput, run_command
from domain.ids import new_id
from domain.users import values
from domain.users.commands.place_order import PlaceOrder
from domain.users.events import OrderId, UserId


@strawberry.input(description="The user, and what the order costs.")
class PlaceOrderInput(UserCommandInput):
    total: Money = strawberry.field(description="What the order costs: more than zero.")


PlaceOrderError = Annotated[
    InvalidInput | UserNotFound | VersionConflict | IdempotencyKeyReused,
    strawberry.union("PlaceOrderError", description="Why placeOrder can be refused."),
]


@strawberry.type(description="What placeOrder answers.")
class PlaceOrderPayload(Payload[PlaceOrderError]):
    pass


@fields.mutation(description="Places an order for a user.", scope=Scope.WRITE)
async def place_order(
    info: Info,
    given: Annotated[
        PlaceOrderInput,
        strawberry.argument(name="input", description="The user, and what the order costs."),
    ],
) -> PlaceOrderPayload | None:
    read = InputParser()
    command = PlaceOrder(
        user_id=UserId(read("userId", given.user_id, values.parse_identifier)),
        order_id=OrderId(new_id()),
        total=read("total", given.total, values.parse_money),
        expected_version=given.expected_version,
        idempotency_key=read.key(given),
    )
    return await run_command(info, read, command, PlaceOrderPayload)
