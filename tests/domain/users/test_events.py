"""The storage format of events: what was ever written must be readable for ever."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest

from domain.envelope import Envelope, Undecodable, decode, encode, partition_of, schema_of
from domain.users.aggregate import USER
from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderId,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserEvent,
    UserId,
    UserRenamed,
)

ORDER = OrderId(UUID("019b0c9e-7d4e-7ccc-8a51-0a6f3c1d2e50"))
ORDER_JSON = '"order_id":"019b0c9e-7d4e-7ccc-8a51-0a6f3c1d2e50"'

# Every version of every event that was ever written. Only add; never change a line or remove one.
WRITTEN: list[tuple[str, int, str, UserEvent]] = [
    (
        "UserCreated",
        1,
        '{"name":"Alice","email":"alice@example.com"}',
        UserCreated(name="Alice", email="alice@example.com"),
    ),
    (
        "UserEmailUpdated",
        1,
        '{"email":"alice@example.org"}',
        UserEmailUpdated(email="alice@example.org"),
    ),
    ("UserRenamed", 1, '{"name":"Zoë"}', UserRenamed(name="Zoë")),
    (
        "OrderPlaced",
        1,
        f'{{{ORDER_JSON},"total":1250}}',
        OrderPlaced(order_id=ORDER, total=1250),
    ),
    (
        "OrderCompleted",
        1,
        f'{{{ORDER_JSON},"total":1250}}',
        OrderCompleted(order_id=ORDER, total=1250),
    ),
    ("OrderCancelled", 1, f"{{{ORDER_JSON}}}", OrderCancelled(order_id=ORDER)),
    ("UserErased", 1, "{}", UserErased()),
]


@pytest.mark.parametrize(
    "name", ["Al\u202eice", "\u2066", "\ufeffAl", "A\U000e0041", "\u3164"], ids=ascii
)
def test_a_stored_name_that_no_command_accepts_any_more_is_still_read(name: str) -> None:
    for event in (UserCreated(name=name, email="\u3164@example.com"), UserRenamed(name=name)):
        tag, schema, data = encode("user", event)
        assert decode("user", tag, schema, data.encode()) == event


@pytest.mark.parametrize(("tag", "schema", "data", "event"), WRITTEN)
def test_what_was_ever_written_is_still_read_as_the_same(
    tag: str, schema: int, data: str, event: UserEvent
) -> None:
    assert decode("user", tag, schema, data.encode()) == event


@pytest.mark.parametrize(("tag", "schema", "data", "event"), WRITTEN)
def test_the_newest_schema_is_written_just_as_it_is_kept_here(
    tag: str, schema: int, data: str, event: UserEvent
) -> None:
    if schema == schema_of("user", tag):
        assert encode("user", event) == (tag, schema, data)


@pytest.mark.parametrize(("tag", "schema", "data", "event"), WRITTEN)
def test_what_is_read_and_written_again_reads_the_same(
    tag: str, schema: int, data: str, event: UserEvent
) -> None:
    tag, schema, text = encode("user", decode("user", tag, schema, data.encode()))
    assert decode("user", tag, schema, text.encode()) == event


def test_every_schema_of_every_event_in_the_union_is_kept_here() -> None:
    tags = [event.__struct_config__.tag for event in get_args(UserEvent)]
    schemas = [(tag, n) for tag in tags for n in range(1, schema_of("user", tag) + 1)]
    assert sorted((tag, schema) for tag, schema, _, _ in WRITTEN) == sorted(schemas)


FORMERLY_NOT_PERSONAL: set[str] = set()
"""Fields without personal data that only older schema versions of events have."""


def test_every_field_that_only_older_schemas_have_is_declared_to_be_personal_or_not() -> None:
    present = {field for event in USER.event_types for field in event.__struct_fields__}
    written = {name for _, _, data, _ in WRITTEN for name in msgspec.json.decode(data)}
    assert written - present == USER.formerly_personal ^ FORMERLY_NOT_PERSONAL


def test_the_personal_fields_of_users_are_their_name_and_address() -> None:
    assert USER.personal == ("email", "name")
    for _, _, data, _ in WRITTEN:
        values = msgspec.json.decode(data)
        assert all(isinstance(values[name], str) for name in USER.personal if name in values)


def test_a_blanked_event_is_still_an_event() -> None:
    blank = decode("user", "UserCreated", 1, b'{"name":"","email":""}')
    assert blank == UserCreated(name="", email="")


@pytest.mark.parametrize(
    ("tag", "schema", "data"),
    [
        ("UserPromoted", 1, b"{}"),
        ("usererased", 1, b"{}"),
        ("UserErased", 2, b"{}"),
        ("UserErased", 0, b"{}"),
        ("UserErased", -1, b"{}"),
        ("UserErased", 1, b""),
        ("UserErased", 1, b"{"),
        ("UserErased", 1, b"[]"),
        ("UserErased", 1, b"null"),
        ("UserErased", 1, b"\xff"),
        ("UserErased", 1, b"[" * 100_000),
        ("UserRenamed", 1, b"{}"),
        ("UserRenamed", 1, b'{"name":null}'),
        ("OrderPlaced", 1, b'{"order_id":"7","total":1}'),
        ("OrderPlaced", 1, b'{"order_id":"019b0c9e-7d4e-7ccc-8a51-0a6f3c1d2e50","total":"1"}'),
        ("OrderPlaced", 1, b'{"order_id":"019b0c9e-7d4e-7ccc-8a51-0a6f3c1d2e50","total":1.5}'),
    ],
)
def test_what_this_code_cannot_read_is_undecodable(tag: str, schema: int, data: bytes) -> None:
    with pytest.raises(Undecodable):
        decode("user", tag, schema, data)


def test_undecodable_names_the_type_the_schema_and_what_would_be_readable() -> None:
    with pytest.raises(Undecodable, match=r"UserErased has schema 3, this code reads 1 to 1"):
        decode("user", "UserErased", 3, b"{}")


def _split_name(fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"{fields['first']} {fields['last']}"}


def test_an_older_schema_is_upcast_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(USER.upcasts, "UserRenamed", (_split_name,))
    old = decode("user", "UserRenamed", 1, b'{"first":"Ada","last":"Lovelace"}')
    new = decode("user", "UserRenamed", 2, b'{"name":"Ada Lovelace"}')
    assert old == new == UserRenamed(name="Ada Lovelace")


def test_upcasts_run_one_after_another_from_the_schema_that_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def renamed(fields: dict[str, Any]) -> dict[str, Any]:
        return {"first": fields["given"], "last": fields["family"]}

    monkeypatch.setitem(USER.upcasts, "UserRenamed", (renamed, _split_name))
    expected = UserRenamed(name="Ada Lovelace")
    assert decode("user", "UserRenamed", 1, b'{"given":"Ada","family":"Lovelace"}') == expected
    assert decode("user", "UserRenamed", 2, b'{"first":"Ada","last":"Lovelace"}') == expected
    assert encode("user", expected)[1] == 3


@pytest.mark.parametrize("failure", [KeyError, AttributeError, ZeroDivisionError, ValueError])
def test_an_event_that_its_upcast_cannot_read_is_undecodable(
    monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    def fail(fields: dict[str, Any]) -> dict[str, Any]:
        raise failure

    monkeypatch.setitem(USER.upcasts, "UserRenamed", (fail,))
    with pytest.raises(Undecodable):
        decode("user", "UserRenamed", 1, b'{"name":"Ada"}')


def test_an_envelope_travels_as_json_with_its_event_inside() -> None:
    written = Envelope(
        aggregate_id=UserId(UUID("019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f")),
        version=2,
        type="UserRenamed",
        schema=1,
        data=msgspec.Raw(b'{"name":"Zo\xc3\xab"}'),
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    read = msgspec.json.decode(msgspec.json.encode(written), type=Envelope)
    assert read.event() == UserRenamed(name="Zoë")
    assert (read.aggregate_id, read.version) == (written.aggregate_id, written.version)


def test_the_partition_of_a_user_is_the_same_for_ever() -> None:
    user_id = UUID("019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f")
    assert [partition_of(user_id, partitions) for partitions in (1, 8, 64, 1024)] == WHERE


WHERE = [0, 6, 62, 446]
