"""Commands: requests to change an aggregate, each with a pure decision that returns events or a refusal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

import msgspec

from domain.aggregate_contract import Aggregate, AggregateState
from domain.event import DomainEvent, text_fields
from domain.refusal import Refusal, VersionConflict

Decision = Sequence[DomainEvent] | Refusal
"""The events to write, or the reason for none. An empty sequence is a success that changes nothing."""


class New(NamedTuple):
    """The target of a command that creates an aggregate, under an id that was generated for this command."""

    id: UUID


class ById(NamedTuple):
    """The target of a command on the aggregate with this id."""

    id: UUID
    children: tuple[str, ...] = ()
    """The fields of the aggregate's state that are loaded with it; the others seem to have no children, so no
    event may change or remove one of theirs."""


class ByChild(NamedTuple):
    """The target of a command on the aggregate to which a child belongs."""

    field: str
    """The field of the aggregate's state that holds such children."""
    id: UUID


Target = New | ById | ByChild


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a command that was carried out."""

    id: UUID
    """The id of what was created or changed: an aggregate or one of its children."""
    aggregate_id: UUID
    version: int
    """The aggregate's version after the command; a read with this minVersion sees the change."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all commands. Two commands with the same request digest are the same request."""

    aggregate: ClassVar[Aggregate]
    server_generated: ClassVar[tuple[str, ...]] = ()
    """Fields that the server fills in. They differ when a request is repeated, so the digest omits them."""

    idempotency_key: str | None = None

    @property
    def target(self) -> Target:
        """What the command creates or changes."""
        raise NotImplementedError

    @property
    def result_id(self) -> UUID:
        """The id that the result has: that of the target, unless the command adds a child to it."""
        return self.target.id

    def decide(self, state: Any) -> Decision:
        """Returns the events that the command causes, or why it is refused. No await, no clock, no I/O."""
        raise NotImplementedError

    def request_digest(self, secret: UUID | None) -> bytes:
        """Returns a digest of the values that the client sent, followed by one of those that may be personal.

        These are all texts, unless an event declares a field of this name as NonPersonal. The second digest
        is keyed with the aggregate's secret: once the secret is erased, nothing can be guessed from it.
        Without a secret only the first is returned, and only the first is compared.
        """
        values = msgspec.to_builtins(self)
        for field in (*self.server_generated, "idempotency_key"):
            del values[field]
        personal = {
            field: values.pop(field) for field in _personal_values(type(self)) if field in values
        }
        digest = hashlib.sha256(_canonical_json([type(self).__name__, values])).digest()
        if secret is None or not personal:
            return digest
        key = secret.bytes
        return digest + hashlib.blake2b(_canonical_json(personal), key=key, digest_size=32).digest()


def refuse_unless_current(
    state: AggregateState, expected_version: int | None, not_found: type[Refusal]
) -> Refusal | None:
    """Returns why a command on an aggregate is refused that must exist, in this version if there is one."""
    if not state.exists:
        return not_found()  # type: ignore[call-arg]  # its message has a default
    if expected_version not in {None, state.version}:
        return VersionConflict(expected=expected_version or 0, actual=state.version)
    return None


@cache
def _personal_values(command: type[Command]) -> frozenset[str]:
    return text_fields(command) - command.aggregate.non_personal


def _canonical_json(values: object) -> bytes:
    return msgspec.json.encode(values, order="sorted")
