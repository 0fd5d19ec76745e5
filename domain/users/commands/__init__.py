"""The commands on users: one file per command, with its values and its decision.

Here are the base classes of commands on a user and on an order.
"""

from __future__ import annotations

from domain.command import ByChild, ById, Command, Decision, Target, refuse_unless_current
from domain.users.aggregate import USER
from domain.users.events import OrderId, UserId
from domain.users.refusals import OrderNotFound, OrderNotOpen, UserNotFound
from domain.users.state import Order, User


class UserCommand(Command, frozen=True, kw_only=True):
    """A command on a user who must exist and, if the client sends it, have the expected version."""

    aggregate = USER

    user_id: UserId
    expected_version: int | None = None

    @property
    def target(self) -> Target:
        return ById(self.user_id)

    def decide(self, user: User) -> Decision:
        refusal = refuse_unless_current(user, self.expected_version, UserNotFound)
        return refusal or self.decide_existing(user)

    def decide_existing(self, user: User) -> Decision:
        """Returns the decision about a user who exists in the expected version."""
        raise NotImplementedError


class OrderCommand(Command, frozen=True, kw_only=True):
    """A command on an order that must be open; the store loads its user by the order."""

    aggregate = USER

    order_id: OrderId

    @property
    def target(self) -> Target:
        return ByChild("orders", self.order_id)

    def decide(self, user: User) -> Decision:
        order = user.orders.get(self.order_id)
        if order is None or not user.exists:
            return OrderNotFound()
        if order.status != "OPEN":
            return OrderNotOpen(status=order.status)
        return self.decide_open(order)

    def decide_open(self, order: Order) -> Decision:
        """Returns the decision about an order that is open."""
        raise NotImplementedError
