"""Questions about users of one generation, and about places of it, each answered as of one moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from domain.users.events import UserId
from readside.projection import Command
from readside.redis_functions.functions import FunctionCall, Functions
from readside.redis_functions.keys import ACTIVE_PREFIX, Keys
from readside.verify.difference import KeyEntry

_VERBS = {"hash": "HGET", "zset": "ZSCORE", "set": "SISMEMBER", "list": "LINDEX"}
_pack = msgspec.msgpack.Encoder().encode


class GenerationChanged(Exception):
    """Another generation serves by now."""


class UserSnapshot(msgspec.Struct, frozen=True):
    """What Redis said about a user."""

    version: int
    parked: dict[str, Any] | None
    """Why the user is set aside."""
    unfinished: bool
    """Whether the user is being made anew, or waits for it."""
    values: list[Any]
    """Of the places that were asked about; None for what is not there."""


class SnapshotReader:
    """Looks at the generation that serves."""

    def __init__(self, functions: Functions, keys: Keys, fingerprint: str) -> None:
        self._functions = functions
        self._keys = keys
        self._pointer = f"{ACTIVE_PREFIX}{fingerprint}"

    async def ask(self, *questions: Command) -> list[Any]:
        """The answers as of one moment, at which the generation served. Raises Turned."""
        [replies] = await self._asked([questions])
        return replies

    async def at(self, users: Mapping[UserId, Collection[KeyEntry]]) -> dict[UserId, UserSnapshot]:
        """Each user, and places of it, as of one moment of its own. Raises Turned."""
        asked = [self._questions(str(user), places) for user, places in users.items()]
        replies = await self._asked(asked)
        return {
            user: _seen(reply, places)
            for (user, places), reply in zip(users.items(), replies, strict=True)
        }

    def _questions(self, user: str, places: Collection[KeyEntry]) -> list[Command]:
        keys = self._keys
        return [
            ("HMGET", keys.user_hash(user), "version", "until"),
            ("HGET", keys.parked, user),
            ("SISMEMBER", keys.needs_resync, user),
            *_about(keys, places),
        ]

    async def _asked(self, asked: Sequence[Sequence[Command]]) -> list[list[Any]]:
        serving = ("HGET", self._keys.partition.generations, self._pointer)
        replies = await self._functions.call_all([_call([serving, *each]) for each in asked])
        if any(reply[0] != self._keys.generation for reply in replies):
            raise GenerationChanged
        return [reply[1:] for reply in replies]


async def values(functions: Functions, keys: Keys, places: Collection[KeyEntry]) -> list[Any]:
    """What places of any generation hold; None for what is not there."""
    if not places:
        return []
    [replies] = await functions.call_all([_call(_about(keys, places))])
    return list(map(_value, places, replies))


def _about(keys: Keys, places: Collection[KeyEntry]) -> list[Command]:
    return [_question(keys.shared_key(place.name), place) for place in places]


def _question(key: str, place: KeyEntry) -> Command:
    if place.kind in _VERBS:
        return (_VERBS[place.kind], key, place.member)
    return ("GET" if place.kind == "string" else "TYPE", key)


def _call(questions: Sequence[Command]) -> FunctionCall:
    names = list(dict.fromkeys(question[1] for question in questions))
    return FunctionCall("read_snapshot", names, [_pack(questions)])


def _seen(replies: list[Any], places: Collection[KeyEntry]) -> UserSnapshot:
    gate, why, lost, *rest = replies
    version, until = (None, None) if isinstance(gate, Exception) else gate
    return UserSnapshot(
        version=int(version or 0),
        parked=None if why is None else msgspec.json.decode(why),
        unfinished=until is not None or bool(lost),
        values=list(map(_value, places, rest)),
    )


def _value(place: KeyEntry, reply: Any) -> Any:
    """So that what means the same is equal: scores are numbers, and rows of a list are JSON."""
    if isinstance(reply, Exception):
        return "in a key of another kind"
    match place.kind:
        case "":
            return None if reply == "none" else f"a {reply}"
        case "zset" if reply is not None:
            return float(reply)
        case "set":
            return True if reply else None
        case "list" if reply is not None:
            return _decoded(reply)
        case _:
            return reply


def _decoded(entry: str) -> Any:
    try:
        return msgspec.json.decode(entry)
    except msgspec.MsgspecError:
        return entry
