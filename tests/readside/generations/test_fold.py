"""Folding: what many commands leave, in few; and what only Redis can work out is refused."""

from __future__ import annotations

import pytest

from readside.generations.fold import CannotFold, Fold
from readside.projection import Command


def folded(*commands: Command) -> list[Command]:
    fold = Fold()
    fold.add(commands)
    return fold.commands()


def test_a_field_that_is_set_repeatedly_is_written_once() -> None:
    assert folded(("HSET", "h", "a", "1", "b", "2"), ("HSET", "h", "a", "3")) == [
        ("HSET", "h", "a", "3", "b", "2")
    ]


def test_a_deleted_key_is_forgotten_and_counters_start_from_zero() -> None:
    commands = [("HSET", "h", "a", "1"), ("DEL", "h"), ("HINCRBY", "h", "b", "2")]
    assert folded(*commands, ("HINCRBY", "h", "b", "3")) == [("DEL", "h"), ("HSET", "h", "b", "5")]


def test_a_field_that_is_removed_is_not_written() -> None:
    begun = ("DEL", "h"), ("HSET", "h", "a", "1", "b", "2")
    assert folded(*begun, ("HDEL", "h", "a", "c")) == [("DEL", "h"), ("HSET", "h", "b", "2")]
    assert folded(*begun, ("HDEL", "h", "a", "b")) == [("DEL", "h")]


def test_a_score_is_counted_on_from_where_it_was_taken_away_or_set() -> None:
    taken, counted = ("ZREM", "z", "m"), ("ZINCRBY", "z", "2", "m")
    assert folded(taken, counted, counted) == [("ZADD", "z", "4", "m")]
    assert folded(("ZADD", "z", "1", "m"), counted) == [("ZADD", "z", "3", "m")]
    assert folded(("ZADD", "z", "1", "m"), taken) == [taken]


def test_only_the_last_place_in_an_index_counts() -> None:
    commands = [("REINDEX", "i", "r", "m", new) for new in ("a", "b", "")]
    assert folded(*commands) == [("REINDEX", "i", "r", "m", "")]


def test_the_entries_of_a_sorted_set_are_taken_out_of_the_index() -> None:
    placed = [("DEL", "z"), ("ZADD", "z", "2", "a 1", "3", "b 1"), ("ZADD", "i", "0", "a 2 m")]
    entries = ("ZADD", "i", "0", "b 3 m")
    withdrawn = ("UNINDEX", "i", "z", "m", "n")
    assert folded(*placed, entries, withdrawn) == [
        ("DEL", "z"),
        ("ZREM", "i", "a 2 m", "b 3 m"),
    ]
    assert folded(("DEL", "z"), withdrawn) == [("DEL", "z"), withdrawn]  # its size is recorded


def test_numbers_of_an_index_are_added_up_from_the_one_that_was_put() -> None:
    put, more = ("REINDEX_NUMBER", "i", "r", "m"), ("REINDEX_MORE", "i", "r", "m")
    added = (*more, str(2**60))
    assert folded((*put, "-5"), added, added, (*more, "4")) == [(*put, str(2**61 - 1))]
    assert folded((*put, "5"), added, (*put, "")) == [(*put, "")]
    assert folded((*put, ""), added) == [(*put, str(2**60))]


def test_contributions_are_folded_by_group_and_only_the_last_replacement_counts() -> None:
    def contribute(verb: str, group: str, amount: int) -> Command:
        return (verb, "s", "of", "m", group, str(amount))

    first = contribute("CONTRIBUTE", "a", 5)
    more = [contribute("CONTRIBUTE_MORE", group, 2**60) for group in ("b", "b", "a")]
    assert folded(first, *more) == [
        contribute("CONTRIBUTE", "b", 2**61),
        contribute("CONTRIBUTE_MORE", "a", 2**60 + 5),
    ]
    assert folded(first, *more, first) == [first]
    nothing = contribute("CONTRIBUTE", "", 0)
    assert folded(first, contribute("CONTRIBUTE_MORE", "a", -5)) == [nothing]
    assert folded(first, contribute("CONTRIBUTE", "b", 0)) == [nothing]


def test_the_history_has_the_values_before_each_version_and_only_the_last_rows() -> None:
    said = [
        (("HISTORY_PUSH", "l", "h", "2", version, "at", "name", "age"), ("HSET", "h", "name", name))
        for version, name in (("2", "B"), ("3", "C"), ("4", "D"))
    ]
    begun = ("DEL", "h", "l"), ("HSET", "h", "at", "1", "name", "A")
    *_, pushed = folded(*begun, *(command for pair in said for command in pair))
    rows = ('["3","1","name","B","age",false]', '["4","1","name","C","age",false]')
    assert pushed == ("RPUSH", "l", *rows)


@pytest.mark.parametrize(
    "commands",
    [
        [("HINCRBY", "h", "a", "1")],
        [("HDEL", "h", "a")],
        [("ZINCRBY", "z", "1", "m")],
        [("DEL", "l"), ("HISTORY_PUSH", "l", "h", "9", "1", "name")],
        [("DEL", "h"), ("HSET", "h", "a", "1"), ("HISTORY_PUSH", "l", "h", "9", "1", "a")],
        [("HSET", "k", "a", "1"), ("ZADD", "k", "1", "m")],
        [("REINDEX", "i", "r", "m", "new"), ("ZADD", "i", "1", "m")],
        [("REINDEX", "i", "r", "m", "new"), ("DEL", "r")],
        [("ZADD", "z", "1", "a"), ("UNINDEX", "i", "z", "m", "n")],
        [("REINDEX_MORE", "i", "r", "m", "1")],
        [("REINDEX", "i", "r", "m", "1"), ("REINDEX_MORE", "i", "r", "m", "1")],
        [("REINDEX_NUMBER", "i", "r", "m", "1"), ("REINDEX_MORE", "i", "r", "m", str(2**63 - 1))],
        [("REINDEX_NUMBER", "i", "r", "m", "1"), ("REINDEX_MORE", "i", "r", "m", "+1")],
        [("CONTRIBUTE_MORE", "s", "of", "m", "a", "1")],
        [("CONTRIBUTE", "s", "of", "m", "a", "+1")],
        [("CONTRIBUTE", "s", "of", "m", "a", str(2**63))],
        [("CONTRIBUTE", "s", "of", "m", "a", "1"), ("ZADD", "of", "1", "m")],
        [("DEL", "h"), ("HSET", "h", "a", str(2**63 - 1)), ("HINCRBY", "h", "a", "1")],
    ],
)
def test_commands_that_depend_on_stored_values_are_not_folded(commands: list[Command]) -> None:
    with pytest.raises(CannotFold):
        folded(*commands)


def test_an_unknown_command_is_not_folded() -> None:
    with pytest.raises(KeyError):
        folded(("SADD", "s", "m"))
