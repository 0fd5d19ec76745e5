"""Ids are UUIDv7: new every time, and in the order of the time at which they were made."""

from __future__ import annotations

import time
from uuid import RFC_4122

from domain.ids import new_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    value = new_id()
    assert (value.version, value.variant) == (7, RFC_4122)


def test_an_id_begins_with_the_millisecond_in_which_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id().int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_no_two_ids_are_the_same() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000
