"""One look at users: what the gate says of each and what its places hold, both as of one moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from readside.expected import Expected
from readside.functions import Call, Functions
from readside.keys import POINTER, Keys
from readside.projection import Command

_pack = msgspec.msgpack.Encoder().encode


class Turned(Exception):
    """Another generation serves by now."""


class Seen(msgspec.Struct, frozen=True):
    """What Redis said about a user."""

    version: int
    parked: dict[str, Any] | None
    """Why the user is set aside."""
    unfinished: bool
    """Whether the user is being made anew, or waits for it."""
    replies: list[Any]
    """To the questions of what is expected."""


class Looks:
    """Looks at one generation."""

    def __init__(self, functions: Functions, keys: Keys, fingerprint: str) -> None:
        self._functions = functions
        self._keys = keys
        self._pointer = f"{POINTER}{fingerprint}"

    async def ask(self, *questions: Command) -> list[Any]:
        """The answers as of one moment, at which the generation served. Raises Turned."""
        [replies] = await self._asked([questions])
        return replies

    async def at(self, users: dict[str, Expected]) -> dict[str, Seen]:
        """Each user as of one moment of its own. Raises Turned."""
        asked = [self._questions(user, expected) for user, expected in users.items()]
        replies = await self._asked(asked)
        return {user: _seen(reply) for user, reply in zip(users, replies, strict=True)}

    def _questions(self, user: str, expected: Expected) -> list[Command]:
        keys = self._keys
        return [
            ("HMGET", keys.user(user), "version", "until"),
            ("HGET", keys.parked, user),
            ("SISMEMBER", keys.lost, user),
            *expected.questions(),
        ]

    async def _asked(self, asked: Sequence[Sequence[Command]]) -> list[list[Any]]:
        serving = ("HGET", self._keys.partition.generations, self._pointer)
        calls = [_call([serving, *questions]) for questions in asked]
        replies = await self._functions.calls(calls)
        if any(reply[0] != self._keys.generation for reply in replies):
            raise Turned
        return [reply[1:] for reply in replies]


def _call(questions: Sequence[Command]) -> Call:
    names = list(dict.fromkeys(question[1] for question in questions))
    return Call("look", names, [_pack(questions)])


def _seen(replies: list[Any]) -> Seen:
    gate, why, lost, *rest = replies
    version, until = (None, None) if isinstance(gate, Exception) else gate
    return Seen(
        version=int(version or 0),
        parked=None if why is None else msgspec.json.decode(why),
        unfinished=until is not None or bool(lost),
        replies=rest,
    )
