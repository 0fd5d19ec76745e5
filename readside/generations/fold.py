"""A user's life in one write: few commands that leave what the commands of all its events would leave.

Only a rebuild takes this step, between the projections and the gate; see lives.py. `tandem verify`
projects event by event, without this step: or a mistake in it would pass for right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

import msgspec

from readside.projection import Command

_COUNTABLE = range(-(2**63), 2**63)
"""What Redis can count with."""

_encode = msgspec.json.Encoder().encode

Scores = dict[str, str | None]
"""By member; None is one that was taken away."""


class CannotFold(Exception):
    """Only Redis can tell what these commands leave, so they must go there one by one."""


class Fold:
    """The commands of one user's events are added in their order, from the first event on."""

    def __init__(self) -> None:
        self._emptied: dict[str, None] = {}
        self._hashes: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._scores: defaultdict[str, Scores] = defaultdict(dict)
        self._rows: defaultdict[str, list[list[str | bool]]] = defaultdict(list)
        self._kept: dict[str, int] = {}
        self._indexed: dict[Command, str] = {}

    def add(self, commands: Iterable[Command]) -> None:
        """Raises KeyError for a verb that is not known here, Unfoldable, and what a command stumbles over."""
        for command in commands:
            _VERBS[command[0]](self, command)

    def commands(self) -> list[Command]:
        """What there is left to do. Raises Unfoldable."""
        indexes = {key for names in self._indexed for key in names[:2]}
        touched = [*self._hashes, *self._scores, *self._rows, *indexes]
        if len(set(touched)) < len(touched) or not indexes.isdisjoint(self._emptied):
            raise CannotFold("a key of two kinds")
        return list(self._left())

    def _left(self) -> Iterator[Command]:
        if self._emptied:
            yield ("DEL", *self._emptied)
        for key, fields in self._hashes.items():
            yield ("HSET", key, *chain.from_iterable(fields.items()))
        for key, scores in self._scores.items():
            yield from _scored(key, scores)
        for key, rows in self._rows.items():
            kept = rows[-self._kept[key] :]
            yield ("RPUSH", key, *[_encode(row).decode() for row in kept])
        for names, new in self._indexed.items():
            yield ("REINDEX", *names, new)

    def delete(self, command: Command) -> None:
        for key in command[1:]:
            for values in (self._hashes, self._scores, self._rows):
                values.pop(key, None)
            self._emptied[key] = None

    def hset(self, command: Command) -> None:
        fields = self._hashes[command[1]]
        for place in range(2, len(command), 2):
            fields[command[place]] = command[place + 1]

    def hincrby(self, command: Command) -> None:
        _, key, field, by = command
        fields = self._hashes[key]
        number = int(self._before(key, fields, field)) + int(by)
        if number not in _COUNTABLE:
            raise CannotFold("more than can be counted")
        fields[field] = str(number)

    def zadd(self, command: Command) -> None:
        scores = self._scores[command[1]]
        for place in range(2, len(command), 2):
            scores[command[place + 1]] = command[place]

    def zrem(self, command: Command) -> None:
        self._scores[command[1]].update(dict.fromkeys(command[2:]))

    def zincrby(self, command: Command) -> None:
        _, key, by, member = command
        scores = self._scores[key]
        scores[member] = f"{float(self._before(key, scores, member)) + float(by):.17g}"

    def reindex(self, command: Command) -> None:
        self._indexed[command[1:4]] = command[4]

    def remember(self, command: Command) -> None:
        _, key, source, kept, version, always, *names = command
        if key not in self._emptied or source not in self._hashes or source not in self._emptied:
            raise CannotFold("what was there before is remembered")
        said = self._hashes[source]
        # What a field never said is false: that is how Lua writes it in JSON.
        others = chain.from_iterable((name, said.get(name, False)) for name in names)
        self._rows[key].append([version, said.get(always, False), *others])
        self._kept[key] = int(kept)

    def _before(self, key: str, members: Mapping[str, str | None], member: str) -> str:
        """What is counted on from; Unfoldable if that is what the first of these commands found there."""
        if member not in members and key not in self._emptied:
            raise CannotFold("counting goes on from what was there before")
        return members.get(member) or "0"


def _scored(key: str, scores: Scores) -> Iterator[Command]:
    there = [(score, member) for member, score in scores.items() if score is not None]
    if there:
        yield ("ZADD", key, *chain.from_iterable(there))
    if len(there) < len(scores):
        yield ("ZREM", key, *[member for member, score in scores.items() if score is None])


_VERBS: dict[str, Callable[[Fold, Command], None]] = {
    "DEL": Fold.delete,
    "HSET": Fold.hset,
    "HINCRBY": Fold.hincrby,
    "ZADD": Fold.zadd,
    "ZREM": Fold.zrem,
    "ZINCRBY": Fold.zincrby,
    "REINDEX": Fold.reindex,
    "HISTORY_PUSH": Fold.remember,
}
