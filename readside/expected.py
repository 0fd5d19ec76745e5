"""What the keys must hold of a user in a version, how that is asked for, and where what is there differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from domain.events import Envelope, UserErased
from readside.gate import Project, commands_of
from readside.keys import Keys
from readside.memory import Memory, Value
from readside.projection import Command

Place = tuple[str, str]
"""A key, and a member or field of it; '' for the whole key, which is one of the user's own."""

_WHOLE: dict[str, tuple[str, ...]] = {
    "hash": ("HGETALL",),
    "zset": ("ZRANGE", "0", "-1", "WITHSCORES"),
    "list": ("LRANGE", "0", "-1"),
    "": ("EXISTS",),
}
_MEMBER = {"hash": "HGET", "zset": "ZSCORE"}


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as the log says."""

    partition: int
    key: str
    """Without the names of partition, generation and user."""
    user: str | None = None
    field: str = ""
    should: Any = None
    found: Any = None
    shared: bool = False
    """Whether it is more than this user's own affair, so that making the user anew would not mend it."""


class Expected:
    """Of one user. `extra` are places, and their kinds, where something was found in the name of the user."""

    def __init__(
        self,
        keys: Keys,
        user: str,
        events: Sequence[Envelope],
        projections: Sequence[Project],
        extra: Iterable[tuple[Place, str]] = (),
    ) -> None:
        self._keys = keys
        self.user = user
        self._events = events
        self._projections = projections
        self.last = events[-1].version if events else 0
        self._memory, self.version = _remembered(keys, events, projections)
        self._places = {**dict(extra), **dict(self._touched())}

    def knowing(self, events: Sequence[Envelope]) -> Expected:
        """The same questions, when more events of the user have become known meanwhile."""
        known = Expected(self._keys, self.user, events, self._projections)
        known._places = self._places
        return known

    @property
    def own(self) -> set[str]:
        """The names of those keys of this user that its events have touched."""
        return {self._name(key) for key in self._memory.kinds if self.user in key}

    def _touched(self) -> Iterable[tuple[Place, str]]:
        for key, kind in self._memory.kinds.items():
            if self.user in key:
                yield (key, ""), kind
            else:
                for member in self._memory.members.get(key, ()):
                    yield (key, member), kind

    def erased_behind(self, version: int) -> bool:
        """Whether an erasure is still on its way: what it blanked in the log the keys may still hold."""
        return any(
            event.type == UserErased.__name__ and event.version > version for event in self._events
        )

    def shared(self) -> Iterable[Place]:
        """Where this user is to be found in shared keys, among the places that are asked about."""
        for key, member in self._places:
            value = self._memory.value(key)
            if member and value is not None and member in value:
                yield key, member

    def questions(self) -> list[Command]:
        return [_question(place, kind) for place, kind in self._places.items()]

    def differences(self, replies: Sequence[Any], version: int) -> list[Difference]:
        """Between the user in that version and the replies to the questions."""
        memory = self._memory
        if version < self.version:
            known = [event for event in self._events if event.version <= version]
            memory, _ = _remembered(self._keys, known, self._projections)
        return [
            difference
            for (place, kind), reply in zip(self._places.items(), replies, strict=True)
            for difference in self._compared(memory, place, kind, reply)
        ]

    def _compared(
        self, memory: Memory, place: Place, kind: str, reply: Any
    ) -> Iterable[Difference]:
        key, member = place
        value = memory.value(key)
        if member:
            should = value.get(member) if isinstance(value, dict) else None
            yield from self._differing(key, {member: should}, {member: _scored(kind, reply)}, True)
        elif isinstance(reply, Exception):
            yield self.difference(key, "", kind, "a key of another kind", False)
        elif kind == "":
            # Of a key that an event has made since the question, the reply says only that it is there.
            if bool(reply) != (value is not None):
                should, there = ("a key", None) if value is not None else (None, "a key")
                yield self.difference(key, "", should, there, key not in memory.kinds)
        else:
            found = _read(kind, reply)
            yield from self._differing(key, _named(value), _named(found), False)

    def _differing(
        self, key: str, should: dict[str, Any], found: dict[str, Any], shared: bool
    ) -> Iterable[Difference]:
        for field in [*should, *(field for field in found if field not in should)]:
            if should.get(field) != found.get(field):
                yield self.difference(key, field, should.get(field), found.get(field), shared)

    def difference(
        self, key: str, field: str, should: Any, found: Any, shared: bool = False
    ) -> Difference:
        """Something about this user that is not as it should be."""
        return Difference(
            partition=self._keys.partition.number,
            key=self._name(key),
            user=self.user,
            field=field,
            should=should,
            found=found,
            shared=shared,
        )

    def _name(self, key: str) -> str:
        return key.removeprefix(self._keys.of("")).removesuffix(f":{self.user}")


def _remembered(
    keys: Keys, events: Sequence[Envelope], projections: Sequence[Project]
) -> tuple[Memory, int]:
    """As the gate does it: the commands of each event, and the version, up to a hole or to what is poison."""
    memory, version = Memory(), 0
    for envelope in events:
        try:
            commands = commands_of(keys, envelope, projections)
        except Exception:  # whatever a projection stumbles over: the gate parks the user here
            break
        if envelope.version != version + 1:
            break
        for command in commands:
            memory.run(command)
        version = envelope.version
        memory.run(("HSET", keys.user(envelope.user_id), "version", str(version)))
    return memory, version


def _question(place: Place, kind: str) -> Command:
    key, member = place
    if member:
        return (_MEMBER[kind], key, member)
    verb, *rest = _WHOLE[kind]
    return (verb, key, *rest)


def _scored(kind: str, reply: Any) -> Any:
    if isinstance(reply, Exception):
        return "in a key of another kind"
    return float(reply) if kind == "zset" and reply is not None else reply


def _read(kind: str, reply: list[str]) -> Value:
    match kind:
        case "hash":
            return dict(zip(reply[::2], reply[1::2], strict=True))
        case "zset":
            return dict(zip(reply[::2], map(float, reply[1::2]), strict=True))
        case _:
            return [_decoded(entry) for entry in reply]


def _decoded(entry: str) -> Any:
    try:
        return msgspec.json.decode(entry)
    except msgspec.MsgspecError:
        return entry


def _named(value: Value | None) -> dict[str, Any]:
    """A list by its places, so that everything is compared field by field."""
    if isinstance(value, list):
        return {str(number): entry for number, entry in enumerate(value)}
    return value or {}
