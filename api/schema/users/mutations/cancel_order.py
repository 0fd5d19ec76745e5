"""cancelOrder: cancels an open order."""

import strawberry

from api.schema.users.command_input import InputParser, OrderCommandInput
from api.schema.users.command_mutation import command_mutation
from domain.users.commands.cancel_order import CancelOrder
from domain.users.refusals import OrderNotFound, OrderNotOpen


@strawberry.input(description="The order to cancel.")
class CancelOrderInput(OrderCommandInput):
    pass


@command_mutation(
    CancelOrderInput, "Cancels an open order.", refusals=[OrderNotFound, OrderNotOpen]
)
def cancel_order(given: CancelOrderInput, parse: InputParser) -> CancelOrder:
    return CancelOrder(order_id=parse.order_id(given), idempotency_key=parse.idempotency_key(given))
