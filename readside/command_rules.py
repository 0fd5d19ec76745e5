"""What the commands of a projection may change. Everything that depends on the rules would fail silently.

A key that contains the id of the event's aggregate is its own. Any other is shared, and its members end with
that id: so `tandem verify` knows which event wrote a member, and a replay writes no member of another
aggregate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from readside.projection import (
    CONTRIBUTIONS,
    REINDEXINGS,
    Command,
    ProjectedEvent,
    RefusedCommand,
)

if TYPE_CHECKING:
    from readside.redis_functions.keys import Keys

_ON_PAIRS: Final = (*CONTRIBUTIONS, *REINDEXINGS)
"""Commands that change one member of two shared keys."""

_KEYS: Final = {
    "DEL": slice(1, None),
    **dict.fromkeys((*_ON_PAIRS, "UNINDEX", "HISTORY_PUSH"), slice(1, 3)),
}
"""Where a command has its keys, if that is not its first argument only."""

_FIRST: Final = slice(1, 2)

_MEMBERS: Final = {
    **dict.fromkeys(("HDEL", "SADD", "SREM", "ZREM"), slice(2, None)),
    **dict.fromkeys(("HINCRBY", "HINCRBYFLOAT"), slice(2, 3)),
    **dict.fromkeys((*_ON_PAIRS, "UNINDEX", "ZINCRBY"), slice(3, 4)),
    "HSET": slice(2, None, 2),
    "ZADD": slice(3, None, 2),
}
"""Where a command has the members or fields that it changes."""

_OWN_KEYS_ONLY: Final = frozenset({"DEL", "HISTORY_PUSH", "LPUSH", "RPUSH", "SET"})
_HASH_COMMANDS: Final = frozenset({"HDEL", "HINCRBY", "HINCRBYFLOAT", "HSET"})
_OF_THE_GATE: Final = frozenset({"until", "version"})
_ID_AT_END: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def keys_of(command: Command) -> tuple[str, ...]:
    """Returns the keys that an allowed command changes or reads."""
    return command[_KEYS.get(command[0], _FIRST)]


def check_commands(keys: Keys, event: ProjectedEvent[Any], commands: Iterable[Command]) -> None:
    """Raises RefusedCommand for the first command that breaks a rule."""
    own, prefix = event.aggregate_id, keys.prefix
    for command in commands:
        verb = command[0]
        if verb not in _MEMBERS and verb not in _OWN_KEYS_ONLY:
            raise RefusedCommand(f"A projection cannot use the command {verb}.")
        for key in keys_of(command):
            if not key.startswith(prefix):
                raise RefusedCommand(
                    f"{verb} of {key}: a projection changes keys of its partition and generation only."
                )
            if own not in key:
                _check_shared(keys, own, key, command)
            elif (
                verb in _HASH_COMMANDS
                and not _OF_THE_GATE.isdisjoint(command[_MEMBERS[verb]])
                and key == keys.document(event.aggregate, own)
            ):
                raise RefusedCommand(
                    f"{verb} of {key}: its fields version and until belong to the version gate."
                )


def _check_shared(keys: Keys, own: str, key: str, command: Command) -> None:
    verb = command[0]
    if key in {keys.counters, keys.needs_resync, keys.parked}:
        raise RefusedCommand(f"{verb} of {key}: no projection changes what the projector keeps.")
    if verb in _OWN_KEYS_ONLY or _ID_AT_END.search(key):
        raise RefusedCommand(f"{verb} of {key}: only a key with the id of the aggregate, {own}.")
    for member in command[_MEMBERS[verb]]:
        if not member.endswith(own):
            raise RefusedCommand(
                f"{verb} of {key}: other aggregates share it, so its members end with the id of the"
                f" aggregate, and {member} does not; GroupedSum counts or adds up by group."
            )
