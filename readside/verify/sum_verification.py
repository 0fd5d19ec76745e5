"""Verifies grouped sums: each is the sum of the contributions that are stored beside it.

The contributions themselves are compared with the log as members of any shared key. Sums change meanwhile, so
both hashes are copied at one moment, and the copies are added up page by page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping

from readside.generations.registry import new_generation
from readside.redis_functions.functions import GenerationGone
from readside.redis_functions.keys import SCRATCH, Keys
from readside.verify.compared_generations import ComparedGenerations
from readside.verify.difference import Difference
from readside.verify.scratch_generation import EXPIRY_SECONDS

_PAGE_MEMBERS = 1000


async def differing_sums(
    generations: ComparedGenerations, sums: Mapping[str, str]
) -> list[Difference]:
    """Returns the differences of these sums, each given with the name of the key of its contributions.

    Raises what the drivers raise, GenerationChanged and GenerationGone.
    """
    return [
        difference
        for names in sums.items()
        for difference in await _differences(generations, names)
    ]


async def _differences(
    generations: ComparedGenerations, names: tuple[str, str]
) -> list[Difference]:
    active = generations.keys
    copies = Keys(active.partition, f"{SCRATCH}:{new_generation()}")
    pairs = [keys.shared_key(name) for name in names for keys in (active, copies)]
    sizes = await generations.functions.call("copy_keys", pairs, int(EXPIRY_SECONDS * 1000))
    sums: Counter[str] = Counter()
    try:
        await generations.snapshots.run()
        found = {
            group: amount
            async for group, amount in _fields(generations, copies.shared_key(names[0]), sizes[0])
        }
        async for _, lines in _fields(generations, copies.shared_key(names[1]), sizes[1]):
            for group, contribution in _parsed(lines):
                sums[group] += contribution
    finally:
        await generations.redis.unlink(*map(copies.shared_key, names))
    expected = {group: str(amount) for group, amount in sums.items() if amount}
    return [
        Difference(
            key=names[0],
            field=group,
            should=expected.get(group),
            found=found.get(group),
            shared=True,
        )
        for group in sorted({*expected, *found})
        if expected.get(group) != found.get(group)
    ]


async def _fields(
    generations: ComparedGenerations, key: str, size: int
) -> AsyncIterator[tuple[str, str]]:
    """Yields the fields of a copy with their values. Raises GenerationGone if it has expired meanwhile."""
    number = 0
    async for field in generations.redis.hscan_iter(key, count=_PAGE_MEMBERS):
        number += 1
        yield field
    if number != size:
        raise GenerationGone


def _parsed(lines: str) -> Iterator[tuple[str, int]]:
    """Yields the group and amount of each line; skips a damaged one, which differs from the log."""
    for line in lines.split("\n"):
        amount, _, group = line.partition(" ")
        if amount.removeprefix("-").isdecimal():
            yield group, int(amount)
