"""placeOrder: a new open order of a user."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from domain.command import Decision
from domain.users.commands import UserCommand
from domain.users.events import OrderId, OrderPlaced
from domain.users.state import User


class PlaceOrder(UserCommand, frozen=True, kw_only=True):
    generated: ClassVar[tuple[str, ...]] = ("order_id",)

    order_id: OrderId
    total: int
    """Minor units."""

    @property
    def subject(self) -> UUID:
        return self.order_id

    def change(self, user: User) -> Decision:
        return [OrderPlaced(order_id=self.order_id, total=self.total)]
