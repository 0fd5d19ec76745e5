"""placeOrder: places an order for a user."""

from typing import Annotated

import strawberry

from api import declare
from api.access.scopes import Scope
from api.context import Info
from api.mutations.carry_out import AboutUser, Reading, carry_out
from api.payload import Payload
from api.refusals import IdempotencyKeyReused, InvalidInput, UserNotFound, VersionConflict
from api.scalars import Money
from domain import values
from domain.commands.place_order import PlaceOrder
from domain.events import OrderId, UserId
from domain.ids import new_id


@strawberry.input(description="The user, and what the order costs.")
class PlaceOrderInput(AboutUser):
    total: Money = strawberry.field(description="What the order costs: more than zero.")


PlaceOrderError = Annotated[
    InvalidInput | UserNotFound | VersionConflict | IdempotencyKeyReused,
    strawberry.union("PlaceOrderError", description="Why placeOrder can be refused."),
]


@strawberry.type(description="What placeOrder answers.")
class PlaceOrderPayload(Payload[PlaceOrderError]):
    pass


@declare.mutation(description="Places an order for a user.", scope=Scope.WRITE)
async def place_order(
    info: Info,
    given: Annotated[
        PlaceOrderInput,
        strawberry.argument(name="input", description="The user, and what the order costs."),
    ],
) -> PlaceOrderPayload | None:
    read = Reading()
    command = PlaceOrder(
        user_id=UserId(read("userId", given.user_id, values.identifier)),
        order_id=OrderId(new_id()),
        total=read("total", given.total, values.money),
        expected_version=given.expected_version,
        idempotency_key=read.key(given),
    )
    return await carry_out(info, read, command, PlaceOrderPayload)
