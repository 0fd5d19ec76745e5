"""Reads the sums that grouped_sum.py stores, over all partitions."""

from __future__ import annotations

from collections import Counter

from readside.errors import ReadModelRebuilding
from readside.grouped_sum import GroupedSum
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import pack


async def read_sums(read_model: ReadModel, grouped_sum: GroupedSum) -> dict[str, int]:
    """Returns the sum of each group, without those whose sums are 0. Raises ReadModelError."""
    name = grouped_sum.name
    replies = await read_model.read_all(
        lambda keys: [
            pack(("HGETALL", keys.shared_key(name))),
            pack(("HGET", keys.counters, keys.size_field(name))),
        ]
    )
    sums: Counter[str] = Counter()
    for flat, recorded_size in replies:
        if len(flat) != 2 * int(recorded_size or 0):
            raise ReadModelRebuilding  # groups were lost
        for group, amount in zip(flat[::2], flat[1::2], strict=True):
            sums[group] += int(amount)
    return {group: amount for group, amount in sums.items() if amount}
