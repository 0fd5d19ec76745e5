"""completeOrder: completes an open order."""

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
from domain.users.commands.complete_order import CompleteOrder
from domain.users.events import OrderId


@strawberry.input(description="The order to complete.")
class CompleteOrderInput(OrderCommandInput):
    pass


CompleteOrderError = Annotated[
    InvalidInput | OrderNotFound | OrderNotOpen | IdempotencyKeyReused,
    strawberry.union("CompleteOrderError", description="Why completeOrder can be refused."),
]


@strawberry.type(description="What completeOrder answers.")
class CompleteOrderPayload(Payload[CompleteOrderError]):
    pass


@fields.mutation(description="Completes an open order.", scope=Scope.WRITE)
async def complete_order(
    info: Info,
    given: Annotated[
        CompleteOrderInput, strawberry.argument(name="input", description="The order to complete.")
    ],
) -> CompleteOrderPayload | None:
    read = InputParser()
    command = CompleteOrder(
        order_id=OrderId(read("orderId", given.order_id, values.parse_identifier)),
        idempotency_key=read.key(given),
    )
    return await run_command(info, read, command, CompleteOrderPayload)
