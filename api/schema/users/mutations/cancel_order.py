"""cancelOrder: cancels an open order."""

from typing import Annotated

import strawberry

from api.auth.scopes import Scope
from api.resolvers import fields
from api.resolvers.context import Info
from api.schema.users.payload import Payload
from api.schema.users.refusal_types import (
    IdempotencyKeyReused,
    InvalidInput,
    OrderNotFound,
    OrderNotOpen,
)
from api.schema.users.run_command import InputParser, OrderCommandInput, run_command
from domain.users import values
from domain.users.commands.cancel_order import CancelOrder
from domain.users.events import OrderId


@strawberry.input(description="The order to cancel.")
class CancelOrderInput(OrderCommandInput):
    pass


CancelOrderError = Annotated[
    InvalidInput | OrderNotFound | OrderNotOpen | IdempotencyKeyReused,
    strawberry.union("CancelOrderError", description="Why cancelOrder can be refused."),
]


@strawberry.type(description="What cancelOrder answers.")
class CancelOrderPayload(Payload[CancelOrderError]):
    pass


@fields.mutation(description="Cancels an open order.", scope=Scope.WRITE)
async def cancel_order(
    info: Info,
    given: Annotated[
        CancelOrderInput, strawberry.argument(name="input", description="The order to cancel.")
    ],
) -> CancelOrderPayload | None:
    read = InputParser()
    command = CancelOrder(
        order_id=OrderId(read("orderId", given.order_id, values.parse_identifier)),
        idempotency_key=read.key(given),
    )
    return await run_command(info, read, command, CancelOrderPayload)
