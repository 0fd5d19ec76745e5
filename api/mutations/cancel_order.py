"""cancelOrder: cancels an open order."""

from typing import Annotated

import strawberry

from api import declare
from api.access.scopes import Scope
from api.context import Info
from api.mutations.carry_out import AboutOrder, Reading, carry_out
from api.payload import Payload
from api.refusals import IdempotencyKeyReused, InvalidInput, OrderNotFound, OrderNotOpen
from domain import values
from domain.commands.cancel_order import CancelOrder
from domain.events import OrderId


@strawberry.input(description="The order to cancel.")
class CancelOrderInput(AboutOrder):
    pass


CancelOrderError = Annotated[
    InvalidInput | OrderNotFound | OrderNotOpen | IdempotencyKeyReused,
    strawberry.union("CancelOrderError", description="Why cancelOrder can be refused."),
]


@strawberry.type(description="What cancelOrder answers.")
class CancelOrderPayload(Payload[CancelOrderError]):
    pass


@declare.mutation(description="Cancels an open order.", scope=Scope.WRITE)
async def cancel_order(
    info: Info,
    given: Annotated[
        CancelOrderInput, strawberry.argument(name="input", description="The order to cancel.")
    ],
) -> CancelOrderPayload | None:
    read = Reading()
    command = CancelOrder(
        order_id=OrderId(read("orderId", given.order_id, values.identifier)),
        idempotency_key=read.key(given),
    )
    return await carry_out(info, read, command, CancelOrderPayload)
