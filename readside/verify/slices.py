"""Where two generations differ: found inside Redis, a slice of a key at a time, so no call takes long."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Keys
from readside.verify.difference import KeyEntry

if TYPE_CHECKING:
    from readside.verify.scratch_generation import ScratchGeneration

MEMBERS = 250
"""Members of a key that one call compares, or somewhat more."""

_PAIRS = 40
"""Pairs of keys that one call compares."""


class _Slice(NamedTuple):
    """What there is still to be compared: a key of one generation, from a cursor on, with the other."""

    name: str
    backwards: bool
    """Whether members of the generation that serves are looked for in the scratch generation."""
    cursor: str = "0"


class KeyComparison:
    """Compares a scratch generation with the one that serves."""

    def __init__(self, functions: Functions, serving: Keys, scratch: ScratchGeneration) -> None:
        self._functions = functions
        self._serving = serving
        self._scratch = scratch

    async def own(self, names: Iterable[str]) -> set[KeyEntry]:
        """Where keys of these names differ, in both directions."""
        found: set[KeyEntry] = set()
        both = [_Slice(name, backwards) for name in names for backwards in (False, True)]
        async for part, (_, kind, other, differ, _) in self._compared(both, alike=False):
            if kind not in {"none", other} and (part.backwards or other != "none"):
                found.add(KeyEntry(part.name))
            else:
                found.update(KeyEntry(part.name, member, kind) for member in differ)
        return found

    async def shared(self, names: Iterable[str]) -> tuple[set[KeyEntry], set[tuple[str, str]]]:
        """Members of the scratch generation's keys: those that differ where it serves, and the others."""
        found: set[KeyEntry] = set()
        agreed: set[tuple[str, str]] = set()
        there = [_Slice(name, backwards=False) for name in names]
        async for part, (_, kind, _, differ, alike) in self._compared(there, alike=True):
            found.update(KeyEntry(part.name, member, kind) for member in differ)
            agreed.update((part.name, member) for member in alike)
        return found, agreed

    async def _compared(
        self, work: Iterable[_Slice], *, alike: bool
    ) -> AsyncIterator[tuple[_Slice, list[Any]]]:
        left = deque(work)
        while left:
            batch = [left.popleft() for _ in range(min(_PAIRS, len(left)))]
            keys = [key for part in batch for key in self._pair(part)]
            await self._scratch.keep()
            cursors = [part.cursor for part in batch]
            wanted = "alike" if alike else ""
            replies = await self._functions.call("compare_keys", keys, MEMBERS, wanted, *cursors)
            for part, reply in zip(batch, replies, strict=True):
                yield part, reply
                if reply[0] != "0":
                    left.append(part._replace(cursor=reply[0]))

    def _pair(self, part: _Slice) -> list[str]:
        pair = [self._scratch.keys.shared_key(part.name), self._serving.shared_key(part.name)]
        return pair[::-1] if part.backwards else pair
