"""Inputs of commands on users and on orders: the fields that all of them have."""

import strawberry

from api.resolvers.command_mutation import IdempotentInput, InputParser, VersionedInput
from domain.users.events import OrderId, UserId


@strawberry.input
class UserCommandInput(VersionedInput):
    """Fields of the input of every command on a user."""

    user_id: strawberry.ID = strawberry.field(description="The user's id.")

    def parse_user_id(self, parse: InputParser) -> UserId:
        return UserId(parse.id("userId", self.user_id))


@strawberry.input
class OrderCommandInput(IdempotentInput):
    """Fields of the input of every command on an order."""

    order_id: strawberry.ID = strawberry.field(description="The order's id.")

    def parse_order_id(self, parse: InputParser) -> OrderId:
        return OrderId(parse.id("orderId", self.order_id))
