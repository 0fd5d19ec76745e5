"""Sorted indexes of aggregates: by a text or by a number that each has.

They follow each change, and a resync when it ends. queries/id_lists.py reads them: in order, between any
keys, page by page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from readside.projection import Command, ProjectedEvent

if TYPE_CHECKING:
    from readside.redis_functions.keys import Keys


class _SortedIndex:
    """The commands that keep an index, in which each aggregate has one place at most.

    Redis has a sorted set of "key, tab, aggregate", and a hash aggregate -> text or number. An event that
    ends an aggregate must remove it: the text may be personal data.
    """

    _verb: str

    def __init__(self, name: str) -> None:
        self._name = name

    def remove(self, keys: Keys, event: ProjectedEvent[Any]) -> Command:
        """Returns the command that removes the aggregate."""
        return self._command(self._verb, keys, event, "")

    def _command(self, verb: str, keys: Keys, event: ProjectedEvent[Any], value: str) -> Command:
        index, reverse = keys.shared_key(self._name), keys.shared_key(f"{self._name}-of")
        return (verb, index, reverse, event.aggregate_id, value)


class TextIndex(_SortedIndex):
    """An index in the order of the code points of texts, which are their own keys."""

    _verb = "REINDEX"

    def put(self, keys: Keys, event: ProjectedEvent[Any], text: str) -> Command:
        """Returns the command that moves the aggregate to this text; an empty one removes it."""
        return self._command(self._verb, keys, event, text)


class NumberIndex(_SortedIndex):
    """An index by 64-bit integers, exactly. A sum that has more bits parks the aggregate.

    The first event must put a number if a later one adds to it: a replay finds the old one.
    """

    _verb = "REINDEX_NUMBER"

    def put(self, keys: Keys, event: ProjectedEvent[Any], number: int) -> Command:
        """Returns the command that moves the aggregate to this number."""
        if abs(number) >= 2**63:
            raise OverflowError(f"{number} has more than 63 bits")
        return self._command(self._verb, keys, event, str(number))

    def add(self, keys: Keys, event: ProjectedEvent[Any], amount: int) -> Command:
        """Returns the command that adds to the number of the aggregate."""
        return self._command("REINDEX_MORE", keys, event, str(amount))


def number_key(number: int) -> str:
    """Returns the key of a number that is not negative, as functions.lua makes it."""
    return f"{number:019}"
