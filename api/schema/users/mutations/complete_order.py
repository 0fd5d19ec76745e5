"""completeOrder: completes an open order."""

import strawberry

from api.resolvers.command_mutation import InputParser, command_mutation
from api.schema.users.types.command_input import OrderCommandInput
from api.schema.users.types.enums import ORDER_NOT_OPEN
from api.schema.users.types.payload import UserPayload
from domain.users.commands.complete_order import CompleteOrder
from domain.users.refusals import OrderNotFound


@strawberry.input(description="The order to complete.")
class CompleteOrderInput(OrderCommandInput):
    pass


@command_mutation(
    UserPayload,
    CompleteOrderInput,
    "Completes an open order.",
    refusals=[OrderNotFound, ORDER_NOT_OPEN],
)
def complete_order(given: CompleteOrderInput, parse: InputParser) -> CompleteOrder:
    return CompleteOrder(
        order_id=given.parse_order_id(parse), idempotency_key=parse.idempotency_key(given)
    )
