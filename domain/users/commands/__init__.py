"""The commands on users: one file per command, which holds its values and its decision.

What commands on a user, and on an order, have in common is here.
"""

from __future__ import annotations

from uuid import UUID

from domain.command import Command, Decision
from domain.users.events import OrderId, UserId
from domain.users.refusals import OrderNotFound, UserNotFound, VersionConflict
from domain.users.state import Order, User


class UserCommand(Command, frozen=True, kw_only=True):
    """A command on a user that must exist and, if the client says so, have an expected version."""

    user_id: UserId
    expected_version: int | None = None

    @property
    def subject(self) -> UUID:
        return self.user_id

    def decide(self, user: User) -> Decision:
        if not user.exists:
            return UserNotFound()
        if self.expected_version not in {None, user.version}:
            return VersionConflict(expected=self.expected_version or 0, actual=user.version)
        return self.change(user)

    def change(self, user: User) -> Decision:
        """The decision about a user who exists, in the version the client expects."""
        raise NotImplementedError


class OrderCommand(Command, frozen=True, kw_only=True):
    """A command on an order that must exist; its user is found by the order."""

    order_id: OrderId

    @property
    def subject(self) -> UUID:
        return self.order_id

    def decide(self, user: User) -> Decision:
        order = user.orders.get(self.order_id)
        if order is None or not user.exists:
            return OrderNotFound()
        return self.change(order)

    def change(self, order: Order) -> Decision:
        """The decision about an order that exists."""
        raise NotImplementedError
