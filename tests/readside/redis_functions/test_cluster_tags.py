"""The hash tags of partitions in a cluster: stored names, spread evenly over the slots."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from readside.redis_connection.cluster import SLOTS, slot_of
from readside.redis_functions.keys import Namespace

SPREAD = Namespace("shop", spread=True)


def test_the_tags_are_a_part_of_stored_names() -> None:
    assert [SPREAD.partition(number).prefix for number in range(8)] == [
        "shop:{0.1}",
        "shop:{1.67}",
        "shop:{2.65}",
        "shop:{3.216}",
        "shop:{4.42}",
        "shop:{5.370}",
        "shop:{6.27}",
        "shop:{7.79}",
    ]


@pytest.mark.parametrize(
    ("partitions", "nodes", "most"),
    [(8, 3, 3), (8, 2, 4), (8, 4, 3), (16, 3, 6), (16, 4, 5), (64, 3, 22), (64, 6, 12)],
)
def test_no_node_with_equal_slots_has_many_partitions_more_than_its_share(
    partitions: int, nodes: int, most: int
) -> None:
    slots = [slot_of(SPREAD.partition(number).stream) for number in range(partitions)]
    owners = [slot * nodes // SLOTS for slot in slots]
    assert max(map(owners.count, owners)) <= most


@pytest.mark.parametrize("key", ["a", "a{b}c", "a{}b", "a{b", "{a}{b}", "a{{b}}c", "ü{é}"])
def test_a_slot_is_that_of_the_cluster(key: str) -> None:
    assert slot_of(key) == key_slot(key.encode())
