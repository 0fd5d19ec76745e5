"""What a projection may not do is refused, in one sentence, when it is declared or its first event comes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pytest

from domain.aggregates import AGGREGATES
from domain.event import DomainEvent
from domain.users.events import OrderId, UserCreated
from readside.admin.parked_aggregates import Parked
from readside.command_rules import check_commands
from readside.declared import require_allowed
from readside.projection import ProjectedEvent, RefusedCommand
from readside.projection_set import FINGERPRINT
from readside.redis_functions.keys import Keys, Partition
from readside.stored_document import Document, StoredDocument
from tests.products.domain.aggregate import PRODUCT
from tests.readside.envelopes import moment_of, user_in
from tests.readside.harness import with_projections

if TYPE_CHECKING:
    from collections.abc import Callable

    from readside.projection import Command
    from tests.readside.projection_harness import ProjectionHarness

ALICE, BOB = str(user_in(0)), str(user_in(0, 1))
KEYS, OTHERS = Keys(Partition(0), "now"), Keys(Partition(1), "now")
EVENT: ProjectedEvent[Any] = ProjectedEvent(
    aggregate="user",
    aggregate_id=ALICE,
    version=1,
    occurred_at=moment_of(1),
    data=UserCreated(name="Alice", email="alice@example.com"),
)
OWN, SHARED = KEYS.document("user", ALICE), KEYS.shared_key("domains")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("INCR", SHARED), "A projection cannot use the command INCR."),
        (("EVAL", "return 1", "0"), "A projection cannot use the command EVAL."),
        (("HINCRBY", SHARED, "a.example", "1"), "its members end with the id of the aggregate"),
        (("HSET", SHARED, ALICE, "1", "a.example", "1"), "and a.example does not; GroupedSum"),
        (("ZADD", SHARED, "1", BOB), f"and {BOB} does not"),
        (("ZINCRBY", SHARED, "1", "a.example"), "and a.example does not"),
        (("REINDEX", SHARED, KEYS.shared_key("of"), BOB, "x"), f"and {BOB} does not"),
        (("UNINDEX", SHARED, KEYS.owned_key("orders", ALICE), BOB, "n"), f"and {BOB} does not"),
        (
            ("UNINDEX", SHARED, KEYS.owned_key("orders", BOB), ALICE, "n"),
            "only a key with the id of the",
        ),
        (("REINDEX_MORE", SHARED, KEYS.shared_key("of"), BOB, "1"), f"and {BOB} does not"),
        (("CONTRIBUTE", SHARED, KEYS.shared_key("of"), BOB, "x", "1"), f"and {BOB} does not"),
        (("DEL", OWN, SHARED), "only a key with the id of the aggregate"),
        (("SET", SHARED, "1"), "only a key with the id of the aggregate"),
        (("HSET", KEYS.document("user", BOB), ALICE, "1"), "only a key with the id of the"),
        (("HSET", OWN, "version", "7"), "its fields version and until belong to the version gate."),
        (
            ("HINCRBY", OWN, "until", "1"),
            "its fields version and until belong to the version gate.",
        ),
        (
            ("HDEL", OWN, "name", "until"),
            "its fields version and until belong to the version gate.",
        ),
        (
            ("HSET", OTHERS.document("user", ALICE), "name", "A"),
            "its partition and generation only",
        ),
        (("DEL", OWN, Keys(Partition(0), "then").document("user", ALICE)), "and generation only"),
        (("HSET", KEYS.parked, ALICE, "1"), "no projection changes what the projector keeps"),
        (("SREM", KEYS.needs_resync, ALICE), "no projection changes what the projector keeps"),
        (("HINCRBY", KEYS.counters, ALICE, "1"), "no projection changes what the projector keeps"),
    ],
)
def test_a_command_that_breaks_a_rule_is_named(command: Command, sentence: str) -> None:
    with pytest.raises(RefusedCommand, match=r"^[^\n]+\.$") as refused:
        check_commands(KEYS, EVENT, [("ZADD", SHARED, "0", ALICE), command])
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "command",
    [
        ("HSET", KEYS.owned_key("profile", ALICE), "version", "7"),
        ("HINCRBY", SHARED, ALICE, "1"),
        ("ZADD", SHARED, "1", f"alice@example.com {ALICE}"),
        ("RPUSH", KEYS.owned_key("said", ALICE), "hello"),
        ("UNINDEX", SHARED, KEYS.owned_key("orders", ALICE), ALICE, "n"),
    ],
)
def test_other_commands_are_allowed(command: Command) -> None:
    check_commands(KEYS, EVENT, [command])


def count(keys: Keys, event: ProjectedEvent[Any]) -> list[Command]:
    return [("HINCRBY", keys.shared_key("domains"), "example.com", "1")]


def test_a_projection_that_breaks_a_rule_is_an_error_of_its_declaration() -> None:
    with pytest.raises(RefusedCommand) as refused:
        require_allowed(with_projections(count))
    assert str(refused.value) == (
        "tests.readside.test_command_rules, UserCreated: HINCRBY of tandem:{0}:sample:domains: other"
        " aggregates share it, so its members end with the id of the aggregate, and example.com does not;"
        " GroupedSum counts or adds up by group."
    )


class Chosen(DomainEvent, frozen=True, kw_only=True):
    """Has fields of many types."""

    answer: bool | None
    size: Literal["S", "M"]
    lines: list[int]
    weight: Decimal = Decimal(0)
    order_id: OrderId


@pytest.mark.parametrize(
    "is_rare",
    [
        lambda data: data.answer is False,
        lambda data: data.answer is None,
        lambda data: data.size == "M",
        lambda data: data.lines == [],
        lambda data: data.lines and int(data.weight) == 1,
    ],
)
def test_a_branch_that_only_some_values_take_is_checked_when_it_is_declared(
    monkeypatch: pytest.MonkeyPatch, is_rare: Callable[[Any], bool]
) -> None:
    def project(keys: Keys, event: ProjectedEvent[Any]) -> list[Command]:
        return count(keys, event) if is_rare(event.data) else []

    choice = msgspec.structs.replace(PRODUCT, events=Chosen)
    monkeypatch.setitem(AGGREGATES, PRODUCT.name, choice)
    with pytest.raises(RefusedCommand):
        require_allowed({PRODUCT.name: (project,)})


class Part(msgspec.Struct, frozen=True):
    size: int
    whole: Tree | None
    parts: dict[int, Part]


class Tree(DomainEvent, frozen=True, kw_only=True):
    """Contains itself, directly and through another struct."""

    left: Tree | None = None
    others: list[Tree] = msgspec.field(default_factory=list)
    part: Part


@pytest.mark.parametrize(
    "is_rare",
    [lambda data: data.part.whole, lambda data: data.left, lambda data: len(data.others) > 1],
)
def test_an_event_that_contains_itself_has_samples(
    monkeypatch: pytest.MonkeyPatch, is_rare: Callable[[Any], bool]
) -> None:
    def project(keys: Keys, event: ProjectedEvent[Any]) -> list[Command]:
        return count(keys, event) if is_rare(event.data) else []

    monkeypatch.setitem(
        AGGREGATES, PRODUCT.name, msgspec.structs.replace(PRODUCT, events=Chosen | Tree)
    )
    with pytest.raises(RefusedCommand):
        require_allowed({PRODUCT.name: (project,)})


def test_an_error_that_may_be_due_to_a_sample_is_none_of_the_declaration() -> None:
    def project(keys: Keys, event: ProjectedEvent[Any]) -> list[Command]:
        return [("SET", keys.owned_key("number", event.aggregate_id), str(int(event.data.name)))]

    require_allowed(with_projections(project))


async def test_a_command_that_no_sample_leads_to_parks_the_user(
    harness: ProjectionHarness,
) -> None:
    await harness.begin(with_projections(count))
    await harness.given(UserCreated(name="Alice", email="alice@example.com"))
    [parked] = await Parked(harness.redis, Partition(0), FINGERPRINT).all()
    assert parked.reason.startswith("RefusedCommand: HINCRBY of ")
    assert parked.reason.endswith("GroupedSum counts or adds up by group.")


def test_a_field_that_a_hash_cannot_hold_is_an_error_of_its_declaration() -> None:
    class Wrong(Document, frozen=True, rename="camel"):
        tags: list[str] = msgspec.field(default_factory=list)

    with pytest.raises(TypeError, match=r"^Wrong\.tags cannot be stored in a hash: make it str,"):
        StoredDocument("user", Wrong, history="recent")
