"""completeOrder: completes an open order."""

import strawberry

from api.schema.users.command_input import InputParser, OrderCommandInput
from api.schema.users.command_mutation import command_mutation
from domain.users.commands.complete_order import CompleteOrder
from domain.users.refusals import OrderNotFound, OrderNotOpen


@strawberry.input(description="The order to complete.")
class CompleteOrderInput(OrderCommandInput):
    pass


@command_mutation(
    CompleteOrderInput, "Completes an open order.", refusals=[OrderNotFound, OrderNotOpen]
)
def complete_order(given: CompleteOrderInput, parse: InputParser) -> CompleteOrder:
    return CompleteOrder(
        order_id=parse.order_id(given), idempotency_key=parse.idempotency_key(given)
    )
