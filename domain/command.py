"""What a command is: values in, and a pure decision that turns a user's state into events or a refusal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

import msgspec

from domain.events import PERSONAL, Event, OrderId, UserId
from domain.refusals import OrderNotFound, Refusal, UserNotFound, VersionConflict
from domain.user import Order, User

Decision = Sequence[Event] | Refusal
"""No events means that nothing had to change, which is a success."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A command was carried out."""

    id: UUID
    """What was created or changed: a user or an order."""
    user_id: UserId
    version: int
    """The user's version after the command: what to ask the read model for."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A request to change something. Two of the same fingerprint are the same request."""

    generated: ClassVar[tuple[str, ...]] = ()
    """Fields that we made up and not the client, so they do not count in the fingerprint."""

    idempotency_key: str | None = None

    @property
    def subject(self) -> UUID:
        """The id of what the command creates or changes."""
        raise NotImplementedError

    def fingerprint(self, secret: UUID | None) -> bytes:
        """A digest of the values the client gave, and behind it one of those that name a person.

        The second is keyed with the user's secret: once that is erased, nobody can try names on it, and the
        fingerprint without it, which is what None gives, is all that is still compared.
        """
        values = msgspec.to_builtins(self)
        for field in (*self.generated, "idempotency_key"):
            del values[field]
        personal = {field: values.pop(field) for field in PERSONAL if field in values}
        bare = hashlib.sha256(_bytes([type(self).__name__, values])).digest()
        if secret is None or not personal:
            return bare
        return bare + hashlib.blake2b(_bytes(personal), key=secret.bytes, digest_size=32).digest()

    def decide(self, user: User) -> Decision:
        """The events that this command causes, or why it is refused. No await, no clock, no I/O."""
        raise NotImplementedError


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


def _bytes(values: object) -> bytes:
    return msgspec.json.encode(values, order="sorted")
