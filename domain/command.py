"""Commands: requests to change a user, each with a pure decision that returns events or a refusal."""

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
"""The events to write, or the reason for none. An empty sequence is a success that changes nothing."""


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a command that was carried out."""

    id: UUID
    """The id of the user or the order that was created or changed."""
    user_id: UserId
    version: int
    """The user's version after the command; a read with this minVersion sees the change."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all commands. Two commands with the same request digest are the same request."""

    server_generated: ClassVar[tuple[str, ...]] = ()
    """Fields that the server fills in. They differ when a request is repeated, so the digest omits them."""

    idempotency_key: str | None = None

    @property
    def target_id(self) -> UUID:
        """The id of the user or the order that the command creates or changes."""
        raise NotImplementedError

    def decide(self, user: User) -> Decision:
        """Returns the events that the command causes, or why it is refused. No await, no clock, no I/O."""
        raise NotImplementedError

    def request_digest(self, secret: UUID | None) -> bytes:
        """Returns a digest of the values that the client sent, followed by one of the personal ones.

        The second is keyed with the user's secret: once the secret is erased, nothing can be guessed from
        it. Without a secret only the first is returned, and only the first is compared.
        """
        values = msgspec.to_builtins(self)
        for field in (*self.server_generated, "idempotency_key"):
            del values[field]
        personal = {field: values.pop(field) for field in PERSONAL_FIELDS if field in values}
        digest = hashlib.sha256(_canonical_json([type(self).__name__, values])).digest()
        if secret is None or not personal:
            return digest
        key = secret.bytes
        return digest + hashlib.blake2b(_canonical_json(personal), key=key, digest_size=32).digest()


def _canonical_json(values: object) -> bytes:
    return msgspec.json.encode(values, order="sorted")
