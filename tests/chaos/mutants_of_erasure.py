"""Mutants that leave something of a person behind, each in another place; `erasing` must find every one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from domain.aggregate_contract import Aggregate
from domain.command import Command
from domain.users.events import UserErased
from domain.write import rows
from readside import applier
from tests.chaos.mutation import get, lua, put, write


def erased_row_kept() -> None:
    """The user's row only says that it is erased."""
    blank = get(Aggregate, "_blank")

    def noted(self: Aggregate, state: Any) -> Any:
        fields = blank(self, state)
        return {field: value for field, value in fields.items() if field in self.children}

    put(Aggregate, "_blank", noted)


def erased_secret_kept() -> None:
    """What the fingerprints are keyed with stays, so that names can be tried on them."""
    after = get(Aggregate, "after")

    def keyed(self: Aggregate, state: Any, event: Any, at: Any) -> Any:
        return msgspec.structs.replace(after(self, state, event, at), secret=state.secret)

    put(Aggregate, "after", keyed)


def erased_events_kept() -> None:
    """The log is append-only, to the letter."""
    write("_blank", "e.user_id = w.id", "e.user_id = w.id and false")


def requests_kept_with_their_keys() -> None:
    """The idempotency row has the request itself instead of its digest."""
    request_digest = Command.request_digest

    def whole(self: Command, secret: UUID | None) -> bytes:
        values = msgspec.to_builtins(self)
        told = [values[field] for field in self.aggregate.personal if field in values]
        return request_digest(self, None) + (msgspec.json.encode(told) if secret else b"")

    put(Command, "request_digest", whole)


def keys_kept_as_they_came() -> None:
    """Clients make up idempotency keys of addresses, too."""
    put(rows, "key_digest", lambda key: None if key is None else key.encode())


def _erasing_without(kind: str, part: str) -> None:
    """No projection of an erasure does this to a key whose name ends or goes on so."""
    commands_of = get(applier, "commands_for")

    def spared(keys: Any, envelope: Any, projections: Any) -> Any:
        commands = commands_of(keys, envelope, projections)
        if envelope.type != UserErased.__name__:
            return commands
        return [left for command in commands if (left := _spare(command, kind, part))]

    put(applier, "commands_for", spared)


def _spare(command: Any, kind: str, part: str) -> Any:
    """Of a removal the other keys, of another command nothing if it is about such a key."""
    if command[0] != kind:
        return command
    left = [word for word in command[1:] if f":{part}" not in word]
    return (kind, *left) if left and (kind == "DEL" or len(left) == len(command) - 1) else None


def erased_versions_kept() -> None:
    """The list of a user's last versions stays, for whoever watches."""
    _erasing_without("DEL", "recent:")


def erased_hash_kept() -> None:
    """The user is taken off the lists, and its hash stays."""
    _erasing_without("DEL", "user:")


def erased_address_kept() -> None:
    """The index by address still leads to who is erased."""
    _erasing_without("REINDEX", "emails")


def erased_name_kept() -> None:
    """The index by name still has the name of who is erased."""
    _erasing_without("REINDEX", "names")


def erased_closed_orders_kept() -> None:
    """Orders can no longer be listed, and how they ended stays all the same."""
    _erasing_without("DEL", "closed:")


def erased_entries_of_orders_kept() -> None:
    """The index of orders still leads to who is erased."""
    _erasing_without("UNINDEX", "orders-by-id")


def erased_stays_parked() -> None:
    """Who is set aside is erased, and the note about why stays."""
    lua("if is_final then redis.call('HDEL', parked, aggregate) end")


def erasure_waits_with_the_parked() -> None:
    """The erasure queues behind what cannot be applied, as any event."""
    lua(
        "if call.any_parked and not is_final and redis.call('HEXISTS', parked, aggregate) == 1",
        "if call.any_parked and redis.call('HEXISTS', parked, aggregate) == 1",
    )


def streams_never_trimmed() -> None:
    """What was applied stays in the stream, which has the names."""
    lua("if first then redis.call('XTRIM'", "if false then redis.call('XTRIM'")


MUTANTS = {
    patch.__name__: patch
    for patch in (
        erased_row_kept,
        erased_secret_kept,
        erased_events_kept,
        requests_kept_with_their_keys,
        keys_kept_as_they_came,
        erased_versions_kept,
        erased_hash_kept,
        erased_address_kept,
        erased_name_kept,
        erased_closed_orders_kept,
        erased_entries_of_orders_kept,
        erased_stays_parked,
        erasure_waits_with_the_parked,
        streams_never_trimmed,
    )
}
