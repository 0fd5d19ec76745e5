"""What the proxy understands of the two protocols, however the bytes are cut into pieces."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.link import Talk
from tests.chaos.postgres_wire import START, PostgresTalk
from tests.chaos.raw_connection import PING, command
from tests.chaos.redis_wire import RedisTalk

RESP2 = [
    *(b"+OK\r\n", b"-ERR no\r\n", b":12\r\n", b"$-1\r\n", b"*-1\r\n", b"$0\r\n\r\n", b"*0\r\n"),
    *(b"$6\r\n\r\n$9\r\n\r\n", b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n*1\r\n$2\r\n\r\n\r\n"),
]
RESP3 = [
    *(b"_\r\n", b"#t\r\n", b",1.5\r\n", b"(123\r\n", b"=5\r\ntxt:\r\r\n", b"!3\r\nERR\r\n"),
    *(b"%1\r\n+a\r\n*1\r\n:1\r\n", b"~1\r\n:1\r\n", b"|1\r\n+a\r\n:1\r\n*1\r\n:2\r\n"),
]
COMMANDS = [
    ([b"PING"], "PING"),
    ([b"GET", b"a\r\nkey"], "GET a"),
    ([b"FCALL", b"append_1", b"x" * 700], "FCALL append_1"),
]


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", 4 + len(body)) + body


START_UP = struct.pack(">II", 17, 3 << 16) + b"user\0me\0\0"
SSL = struct.pack(">II", 8, 80877103)
CANCEL = struct.pack(">IIII", 16, 80877102, 1, 2)
READY = message(b"Z", b"I")
ROUND_TRIPS = [
    (message(b"Q", b"select 1; select 2\0"), "select 1; select 2"),
    (message(b"P", b"s1\0insert\0\0\0") + message(b"D", b"Ss1\0") + message(b"S", b""), ""),
    (message(b"B", b"\0s1\0" + b"x" * 700) + message(b"E", b"") + message(b"S", b""), "insert"),
    (message(b"B", b"\0s1\0") * 2 + message(b"S", b""), "insert; insert"),
]
REPLIES = [
    READY,
    message(b"2", b"") + message(b"D", b"Z" * 30) + message(b"C", b"INSERT\0") + READY,
    message(b"1", b"") + message(b"2", b"") + READY,
    message(b"E", b"SERROR\0") + READY,
]
pieces = st.lists(st.integers(0, 2000), max_size=12)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    inside = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(inside)]


def found(talk: Talk, parts: list[bytes]) -> list[int]:
    """Where the answers end, counted from the first byte of all parts."""
    ends, before = [], 0
    for part in parts:
        ends += [before + end for end in talk.ends(part)]
        before += len(part)
    return ends


def sums(answers: list[bytes]) -> list[int]:
    return [sum(map(len, answers[:number])) for number in range(1, len(answers) + 1)]


@given(st.lists(st.sampled_from(RESP2 + RESP3), max_size=8), pieces)
def test_every_end_of_an_answer_of_redis_is_found(answers: list[bytes], places: list[int]) -> None:
    assert found(RedisTalk(), cut(b"".join(answers), places)) == sums(answers)


@given(st.lists(st.sampled_from(COMMANDS), max_size=5), pieces)
def test_every_command_of_redis_is_named_once(
    commands: list[tuple[list[bytes], str]], places: list[int]
) -> None:
    talk = RedisTalk()
    parts = cut(b"".join(command(*words) for words, _ in commands), places)
    assert [name for part in parts for name in talk.asked(part)] == [name for _, name in commands]


@pytest.mark.parametrize("word", [b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"MONITOR"])
def test_who_has_subscribed_is_left_alone(word: bytes) -> None:
    talk = RedisTalk()
    assert talk.asked(command(word, b"c")) == [f"{word.decode()} c"]
    assert talk.opaque
    assert talk.asked(PING) == []
    assert talk.ends(b"+PONG\r\n") == []


@given(st.booleans(), st.lists(st.sampled_from(ROUND_TRIPS[:1] + ROUND_TRIPS[2:])), pieces)
def test_every_round_trip_to_postgresql_is_named_once(
    secured: bool, trips: list[tuple[bytes, str]], places: list[int]
) -> None:
    talk, trips = PostgresTalk(), [(START_UP, START), ROUND_TRIPS[1], *trips]
    parts = cut(SSL * secured + b"".join(asked for asked, _ in trips), places)
    assert [name for part in parts for name in talk.asked(part)] == [name for _, name in trips]


@given(st.lists(st.sampled_from(REPLIES), max_size=6), pieces)
def test_every_end_of_a_round_trip_is_found(replies: list[bytes], places: list[int]) -> None:
    assert found(PostgresTalk(), cut(b"".join(replies), places)) == sums(replies)


def test_the_byte_that_answers_a_wish_for_tls_is_no_message() -> None:
    talk = PostgresTalk()
    assert talk.asked(SSL) == []
    assert talk.ends(b"N") == []
    assert talk.asked(START_UP) == [START]
    assert talk.ends(REPLIES[1]) == [len(REPLIES[1])]


def test_a_wish_to_cancel_is_not_answered() -> None:
    assert PostgresTalk().asked(CANCEL) == []
