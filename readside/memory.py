"""What one user's commands leave in Redis, worked out without Redis: the commands that projections use.

It is another implementation of the verbs of functions.lua, so that the two are compared with each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from readside.projection import Command

Value = dict[str, Any] | list[Any]
"""Of a hash its fields, of a sorted set its scores, of a list what was pushed."""


class Unknown(Exception):
    """A projection uses a command that nobody can work out here; str() says which, and what to do."""

    def __init__(self, verb: str) -> None:
        super().__init__(
            f"No one can verify the command {verb}, which a projection uses; teach it in readside/memory.py."
        )


class Memory:
    """Keys and what they hold. An emptied key is gone, as in Redis."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        """Of every key that was ever touched: hash, zset or list; '' if it was only deleted."""
        self.members: dict[str, set[str]] = {}
        """Of every key the fields or members that were ever touched."""
        self._values: dict[str, Value] = {}

    def run(self, command: Command) -> None:
        """Raises Unknown."""
        verb, *words = command
        if verb not in _VERBS:
            raise Unknown(verb)
        _VERBS[verb](self, *words)

    def value(self, key: str) -> Value | None:
        return self._values.get(key) or None

    def fields(self, key: str, kind: str, *members: str) -> dict[str, Any]:
        """A hash or a sorted set, to be changed."""
        self.kinds[key] = kind
        self.members.setdefault(key, set()).update(members)
        value = self._values.setdefault(key, {})
        assert isinstance(value, dict)
        return value

    def entries(self, key: str) -> list[Any]:
        """A list, to be changed."""
        self.kinds[key] = "list"
        value = self._values.setdefault(key, [])
        assert isinstance(value, list)
        return value

    def delete(self, *keys: str) -> None:
        for key in keys:
            self.kinds.setdefault(key, "")
            self._values.pop(key, None)


def _hset(memory: Memory, key: str, *pairs: str) -> None:
    names, values = pairs[::2], pairs[1::2]
    memory.fields(key, "hash", *names).update(zip(names, values, strict=True))


def _hincrby(memory: Memory, key: str, field: str, by: str) -> None:
    fields = memory.fields(key, "hash", field)
    fields[field] = str(int(fields.get(field, "0")) + int(by))


def _hdel(memory: Memory, key: str, *names: str) -> None:
    _without(memory.fields(key, "hash", *names), names)


def _zadd(memory: Memory, key: str, *pairs: str) -> None:
    scores, members = pairs[::2], pairs[1::2]
    memory.fields(key, "zset", *members).update(zip(members, map(float, scores), strict=True))


def _zincrby(memory: Memory, key: str, by: str, member: str) -> None:
    scores = memory.fields(key, "zset", member)
    scores[member] = scores.get(member, 0.0) + float(by)


def _zrem(memory: Memory, key: str, *members: str) -> None:
    _without(memory.fields(key, "zset", *members), members)


def _rpush(memory: Memory, key: str, *values: str) -> None:
    memory.entries(key).extend(values)


def _reindex(memory: Memory, index: str, reverse: str, member: str, new: str) -> None:
    keys = memory.fields(reverse, "hash", member)
    if old := keys.pop(member, None):
        _zrem(memory, index, f"{old} {member}")
    if new:
        keys[member] = new
        _zadd(memory, index, "0", f"{new} {member}")


def _remember(
    memory: Memory, key: str, source: str, many: str, version: str, always: str, *names: str
) -> None:
    """What a field never said is false: that is how Lua writes it in JSON."""
    said = memory.value(source) or {}
    assert isinstance(said, dict)
    row = [version, said.get(always, False)]
    for name in names:
        row += [name, said.get(name, False)]
    entries = memory.entries(key)
    entries.append(row)
    del entries[: -int(many)]


def _without(fields: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        fields.pop(name, None)


_VERBS: dict[str, Callable[..., None]] = {
    "DEL": Memory.delete,
    "HSET": _hset,
    "HINCRBY": _hincrby,
    "HDEL": _hdel,
    "ZADD": _zadd,
    "ZINCRBY": _zincrby,
    "ZREM": _zrem,
    "RPUSH": _rpush,
    "REINDEX": _reindex,
    "REMEMBER": _remember,
}
