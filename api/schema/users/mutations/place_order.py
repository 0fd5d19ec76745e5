"""placeOrder: places an order for a user."""

import strawberry

from api.resolvers.command_mutation import InputParser, command_mutation
from api.resolvers.scalars import Money
from api.schema.users.types.command_input import UserCommandInput
from api.schema.users.types.payload import UserPayload
from domain.ids import new_id
from domain.users.commands.place_order import PlaceOrder
from domain.users.events import OrderId
from domain.users.refusals import UserNotFound
from domain.value_parsing import parse_money


@strawberry.input(description="The user, and what the order costs.")
class PlaceOrderInput(UserCommandInput):
    total: Money = strawberry.field(description="What the order costs: more than zero.")


@command_mutation(
    UserPayload, PlaceOrderInput, "Places an order for a user.", refusals=[UserNotFound]
)
def place_order(given: PlaceOrderInput, parse: InputParser) -> PlaceOrder:
    return PlaceOrder(
        user_id=given.parse_user_id(parse),
        order_id=OrderId(new_id()),
        total=parse("total", given.total, parse_money),
        expected_version=given.expected_version,
        idempotency_key=parse.idempotency_key(given),
    )
