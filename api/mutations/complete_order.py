"""completeOrder: completes an open order."""

from typing import Annotated

import strawberry

from api import declare
from api.access.scopes import Scope
from api.context import Info
from api.mutations.carry_out import AboutOrder, Reading, carry_out
from api.payload import Payload
from api.refusals import IdempotencyKeyReused, InvalidInput, OrderNotFound, OrderNotOpen
from domain import values
from domain.commands.complete_order import CompleteOrder
from domain.events import OrderId


@strawberry.input(description="The order to complete.")
class CompleteOrderInput(AboutOrder):
    pass


CompleteOrderError = Annotated[
    InvalidInput | OrderNotFound | OrderNotOpen | IdempotencyKeyReused,
    strawberry.union("CompleteOrderError", description="Why completeOrder can be refused."),
]


@strawberry.type(description="What completeOrder answers.")
class CompleteOrderPayload(Payload[CompleteOrderError]):
    pass


@declare.mutation(description="Completes an open order.", scope=Scope.WRITE)
async def complete_order(
    info: Info,
    given: Annotated[
        CompleteOrderInput, strawberry.argument(name="input", description="The order to complete.")
    ],
) -> CompleteOrderPayload | None:
    read = Reading()
    command = CompleteOrder(
        order_id=OrderId(read("orderId", given.order_id, values.identifier)),
        idempotency_key=read.key(given),
    )
    return await carry_out(info, read, command, CompleteOrderPayload)
