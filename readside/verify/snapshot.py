"""Atomic snapshots of aggregates and entries of the active generation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from readside.projection import Command
from readside.redis_functions.functions import FunctionCall, Functions
from readside.redis_functions.keys import ACTIVE_PREFIX, Keys
from readside.verify.difference import KeyEntry

_READ_COMMANDS = {"hash": "HGET", "zset": "ZSCORE", "set": "SISMEMBER", "list": "LINDEX"}
_pack = msgspec.msgpack.Encoder().encode


class GenerationChanged(Exception):
    """Another generation is active now."""


class AggregateSnapshot(msgspec.Struct, frozen=True):
    """The state of an aggregate in Redis at one moment."""

    version: int
    parked: dict[str, Any] | None
    """Why the aggregate is parked."""
    needs_resync: bool
    """Whether a resync of the aggregate is needed or running."""
    values: list[Any]
    """The values of the requested entries; None for those that do not exist."""


class SnapshotReader:
    """Reads the active generation. Raises GenerationChanged if another one is active."""

    def __init__(self, functions: Functions, keys: Keys, fingerprint: str) -> None:
        self._functions = functions
        self._keys = keys
        self._pointer = f"{ACTIVE_PREFIX}{fingerprint}"

    async def run(self, *commands: Command) -> list[Any]:
        """Returns the replies to these commands, executed atomically."""
        [replies] = await self._run_all([commands])
        return replies

    async def aggregates(
        self, names: Mapping[UUID, str], entries: Collection[KeyEntry] = ()
    ) -> dict[UUID, AggregateSnapshot]:
        """Returns an atomic snapshot of each of these ids, given with the name of its aggregate."""
        keys = self._keys
        replies = await self._run_all(
            [
                [
                    ("HMGET", keys.document(name, id_), "version", "until"),
                    ("HGET", keys.parked, str(id_)),
                    ("SISMEMBER", keys.needs_resync, str(id_)),
                    *_entry_commands(keys, entries),
                ]
                for id_, name in names.items()
            ]
        )
        return {
            id_: _aggregate_snapshot(reply, entries)
            for id_, reply in zip(names, replies, strict=True)
        }

    async def _run_all(self, batches: Sequence[Sequence[Command]]) -> list[list[Any]]:
        read_active = ("HGET", self._keys.partition.generations, self._pointer)
        replies = await self._functions.call_all([_call([read_active, *one]) for one in batches])
        if any(reply[0] != self._keys.generation for reply in replies):
            raise GenerationChanged
        return [reply[1:] for reply in replies]


async def read_entries(
    functions: Functions, keys: Keys, entries: Collection[KeyEntry]
) -> list[Any]:
    """Returns the values of entries of any generation, read atomically; None for missing ones."""
    if not entries:
        return []
    [replies] = await functions.call_all([_call(_entry_commands(keys, entries))])
    return list(map(_comparable, entries, replies))


def _entry_commands(keys: Keys, entries: Collection[KeyEntry]) -> list[Command]:
    return [_entry_command(keys.shared_key(entry.name), entry) for entry in entries]


def _entry_command(key: str, entry: KeyEntry) -> Command:
    if entry.kind in _READ_COMMANDS:
        return (_READ_COMMANDS[entry.kind], key, entry.member)
    return ("GET" if entry.kind == "string" else "TYPE", key)


def _call(commands: Sequence[Command]) -> FunctionCall:
    names = list(dict.fromkeys(command[1] for command in commands))
    return FunctionCall("read_snapshot", names, [_pack(commands)])


def _aggregate_snapshot(replies: list[Any], entries: Collection[KeyEntry]) -> AggregateSnapshot:
    fields, parked, needs_resync, *values = replies
    version, visible_from = (None, None) if isinstance(fields, Exception) else fields
    return AggregateSnapshot(
        version=int(version or 0),
        parked=None if parked is None else msgspec.json.decode(parked),
        needs_resync=visible_from is not None or bool(needs_resync),
        values=list(map(_comparable, entries, values)),
    )


def _comparable(entry: KeyEntry, reply: Any) -> Any:
    """Returns a value that is equal for equal meaning: scores as numbers, rows of a list decoded."""
    if isinstance(reply, Exception):
        return "in a key of another kind"
    match entry.kind:
        case "":
            return None if reply == "none" else f"a {reply}"
        case "zset" if reply is not None:
            return float(reply)
        case "set":
            return True if reply else None
        case "list" if reply is not None:
            return _decode_row(reply)
        case _:
            return reply


def _decode_row(row: str) -> Any:
    try:
        return msgspec.json.decode(row)
    except msgspec.MsgspecError:
        return row
