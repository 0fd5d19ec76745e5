"""What a command is: values in, and a pure decision that turns a user's state into events or a refusal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

import msgspec

from domain.refusal import Refusal
from domain.users.events import PERSONAL_FIELDS, Event, UserId
from domain.users.state import User

Decision = Sequence[Event] | Refusal
"""No events means that nothing had to change, which is a success."""


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
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
        personal = {field: values.pop(field) for field in PERSONAL_FIELDS if field in values}
        bare = hashlib.sha256(_bytes([type(self).__name__, values])).digest()
        if secret is None or not personal:
            return bare
        return bare + hashlib.blake2b(_bytes(personal), key=secret.bytes, digest_size=32).digest()

    def decide(self, user: User) -> Decision:
        """The events that this command causes, or why it is refused. No await, no clock, no I/O."""
        raise NotImplementedError


def _bytes(values: object) -> bytes:
    return msgspec.json.encode(values, order="sorted")
