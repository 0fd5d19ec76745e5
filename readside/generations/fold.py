"""Folds the Redis commands of all events of an aggregate into the few that produce the same final state.

Only a rebuild does so; see replay.py. `tandem verify` projects event by event, so that it finds an error in
this module.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

import msgspec

from readside.projection import Command

_INT64 = range(-(2**63), 2**63)
"""The range of Redis' counters."""

_encode = msgspec.json.Encoder().encode

Scores = dict[str, str | None]
"""By member; None for a member that was removed."""


class CannotFold(Exception):
    """The result of these commands depends on stored values, so they must be sent one by one."""


class Fold:
    """The state that one aggregate's commands produce. They are added in order, from the first event on."""

    def __init__(self) -> None:
        self._deleted: dict[str, None] = {}
        self._hashes: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._scores: defaultdict[str, Scores] = defaultdict(dict)
        self._lists: defaultdict[str, list[list[str | bool]]] = defaultdict(list)
        self._list_lengths: dict[str, int] = {}
        self._indexed: dict[Command, tuple[str, str]] = {}
        self._contributions: dict[Command, dict[str, int]] = {}
        self._unindexed: dict[Command, None] = {}

    def add(self, commands: Iterable[Command]) -> None:
        """Raises CannotFold, KeyError for an unknown command, and any error of malformed arguments."""
        for command in commands:
            _METHODS[command[0]](self, command)

    def commands(self) -> list[Command]:
        """Returns the folded commands. Raises CannotFold."""
        pairs = (*self._indexed, *self._contributions)
        indexes = {key for names in pairs for key in names[:2]}
        written = [*self._hashes, *self._scores, *self._lists, *indexes]
        if len(set(written)) < len(written) or not indexes.isdisjoint(self._deleted):
            raise CannotFold("a key of two types")
        return list(self._folded())

    def _folded(self) -> Iterator[Command]:
        if self._deleted:
            yield ("DEL", *self._deleted)
        for command in self._unindexed:
            if not self._scores.get(command[1]):
                yield command  # without an effect, but it records the size of the index
        for key, fields in self._hashes.items():
            if fields:
                yield ("HSET", key, *chain.from_iterable(fields.items()))
        for key, scores in self._scores.items():
            yield from _sorted_set_commands(key, scores)
        for key, rows in self._lists.items():
            last_rows = rows[-self._list_lengths[key] :]
            yield ("RPUSH", key, *[_encode(row).decode() for row in last_rows])
        for names, (verb, new) in self._indexed.items():
            yield (verb, *names, new)
        for names, amounts in self._contributions.items():
            yield from _contributions(names, amounts)

    def delete(self, command: Command) -> None:
        for key in command[1:]:
            for values in (self._hashes, self._scores, self._lists):
                values.pop(key, None)
            self._deleted[key] = None

    def hset(self, command: Command) -> None:
        fields = self._hashes[command[1]]
        for index in range(2, len(command), 2):
            fields[command[index]] = command[index + 1]

    def hdel(self, command: Command) -> None:
        key = command[1]
        if key not in self._deleted:
            raise CannotFold("a removal of a stored field")
        for field in command[2:]:
            self._hashes[key].pop(field, None)

    def hincrby(self, command: Command) -> None:
        _, key, field, increment = command
        fields = self._hashes[key]
        number = int(self._before(key, fields, field)) + int(increment)
        if number not in _INT64:
            raise CannotFold("a counter out of range")
        fields[field] = str(number)

    def zadd(self, command: Command) -> None:
        scores = self._scores[command[1]]
        for index in range(2, len(command), 2):
            scores[command[index + 1]] = command[index]

    def zrem(self, command: Command) -> None:
        self._scores[command[1]].update(dict.fromkeys(command[2:]))

    def zincrby(self, command: Command) -> None:
        _, key, increment, member = command
        scores = self._scores[key]
        scores[member] = f"{float(self._before(key, scores, member)) + float(increment):.17g}"

    def reindex(self, command: Command) -> None:
        self._indexed[command[1:4]] = command[0], command[4]

    def reindex_more(self, command: Command) -> None:
        verb, before = self._indexed.get(command[1:4], ("", ""))
        number = int(before or 0) + _int64(command[4])
        if verb != "REINDEX_NUMBER" or number not in _INT64:
            raise CannotFold("an addition to a stored number, or out of range")
        self._indexed[command[1:4]] = verb, str(number)

    def unindex(self, command: Command) -> None:
        _, index, owned, member, _ = command
        if owned not in self._deleted:
            raise CannotFold("entries of a stored sorted set")
        self._unindexed[command] = None
        for name, score in self._scores.pop(owned, {}).items():
            if score is not None:
                self._scores[index][f"{name.partition(' ')[0]} {score} {member}"] = None

    def contribute(self, command: Command) -> None:
        amount = _int64(command[5])
        self._contributions[command[1:4]] = {command[4]: amount} if amount else {}

    def contribute_more(self, command: Command) -> None:
        if (amounts := self._contributions.get(command[1:4])) is None:
            raise CannotFold("an addition to a stored contribution")
        amount = amounts.pop(command[4], 0) + _int64(command[5])
        if amount not in _INT64:
            raise CannotFold("a contribution out of range")
        if amount:
            amounts[command[4]] = amount

    def history_push(self, command: Command) -> None:
        _, key, source, length, version, always, *names = command
        if key not in self._deleted or source not in self._hashes or source not in self._deleted:
            raise CannotFold("a history of stored values")
        fields = self._hashes[source]
        # A missing field is false: so Lua writes it in JSON.
        others = chain.from_iterable((name, fields.get(name, False)) for name in names)
        self._lists[key].append([version, fields.get(always, False), *others])
        self._list_lengths[key] = int(length)

    def _before(self, key: str, values: Mapping[str, str | None], name: str) -> str:
        """Returns the value before an increment; raises CannotFold if that may be a stored one."""
        if name not in values and key not in self._deleted:
            raise CannotFold("an increment of a stored value")
        return values.get(name) or "0"


def _sorted_set_commands(key: str, scores: Scores) -> Iterator[Command]:
    present = [(score, member) for member, score in scores.items() if score is not None]
    if present:
        yield ("ZADD", key, *chain.from_iterable(present))
    if len(present) < len(scores):
        yield ("ZREM", key, *[member for member, score in scores.items() if score is None])


def _contributions(names: Command, amounts: dict[str, int]) -> Iterator[Command]:
    verb, fewest = "CONTRIBUTE", amounts or {"": 0}
    for group, amount in fewest.items():
        yield (verb, *names, group, str(amount))
        verb = "CONTRIBUTE_MORE"


def _int64(amount: str) -> int:
    """Returns the number; raises CannotFold if Redis does not accept it."""
    number = int(amount)
    if number not in _INT64 or str(number) != amount:
        raise CannotFold("an amount that Redis does not accept")
    return number


_METHODS: dict[str, Callable[[Fold, Command], None]] = {
    "DEL": Fold.delete,
    "HSET": Fold.hset,
    "HDEL": Fold.hdel,
    "HINCRBY": Fold.hincrby,
    "ZADD": Fold.zadd,
    "ZREM": Fold.zrem,
    "ZINCRBY": Fold.zincrby,
    "REINDEX": Fold.reindex,
    "UNINDEX": Fold.unindex,
    "REINDEX_NUMBER": Fold.reindex,
    "REINDEX_MORE": Fold.reindex_more,
    "HISTORY_PUSH": Fold.history_push,
    "CONTRIBUTE": Fold.contribute,
    "CONTRIBUTE_MORE": Fold.contribute_more,
}
