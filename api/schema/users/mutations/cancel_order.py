"""cancelOrder: cancels an open order."""

import strawberry

from api.resolvers.command_mutation import InputParser, command_mutation
from api.schema.users.types.command_input import OrderCommandInput
from api.schema.users.types.enums import ORDER_NOT_OPEN
from api.schema.users.types.payload import UserPayload
from domain.users.commands.cancel_order import CancelOrder
from domain.users.refusals import OrderNotFound


@strawberry.input(description="The order to cancel.")
class CancelOrderInput(OrderCommandInput):
    pass


@command_mutation(
    UserPayload,
    CancelOrderInput,
    "Cancels an open order.",
    refusals=[OrderNotFound, ORDER_NOT_OPEN],
)
def cancel_order(given: CancelOrderInput, parse: InputParser) -> CancelOrder:
    return CancelOrder(
        order_id=given.parse_order_id(parse), idempotency_key=parse.idempotency_key(given)
    )
