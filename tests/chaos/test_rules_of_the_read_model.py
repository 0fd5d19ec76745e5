"""The checker's rules about what Redis holds: each is broken by hand, and each lets pass what it must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from readside.redis_functions.keys import Keys, Partition
from tests.chaos import model
from tests.chaos.sound_run import ALICE, BOB, KEYS, LAMP, ORDER, PLACE, Run


def lose(key: str) -> Callable[[Run], None]:
    return lambda run: run.keys.__delitem__(key)


def add(key: str, value: Any) -> Callable[[Run], None]:
    return lambda run: run.keys.update({key: value})


def change(key: str, **fields: Any) -> Callable[[Run], None]:
    """A field or a member that is None is taken out."""

    def changed(run: Run) -> None:
        value = {**run.keys[key], **fields}
        run.keys[key] = {name: of for name, of in value.items() if of is not None}

    return changed


def member(key: str, name: str, score: float | None) -> Callable[[Run], None]:
    return change(key, **{name: score})


def park(run: Run) -> None:
    run.keys[KEYS.parked] = {ALICE: "why"}


def of_group(**changes: Any) -> Callable[[Run], None]:
    return lambda run: run.groups[0][0].update(changes)


def add_a_group(run: Run) -> None:
    run.groups[0].append({"name": "1a1-dead", "pending": 0, "unread": False})


def expect_parked(run: Run) -> None:
    run.parked = frozenset({ALICE})


BROKEN: list[tuple[str, Callable[[Run], None]]] = [
    *[("read-model-is-the-fold", lose(KEYS.shared_key(name))) for name in model.SHARED],
    ("read-model-is-the-fold", lose(KEYS.document("user", ALICE))),
    ("read-model-is-the-fold", lose(KEYS.document("user", BOB))),
    ("read-model-is-the-fold", lose(KEYS.owned_key("orders", ALICE))),
    ("read-model-is-the-fold", lose(KEYS.owned_key("closed", ALICE))),
    ("read-model-is-the-fold", add(KEYS.owned_key("orders", BOB), {ORDER: 1.0})),
    ("read-model-is-the-fold", member(KEYS.index("users"), BOB, 0.0)),
    ("read-model-is-the-fold", member(KEYS.shared_key("names"), f"alice\t{ALICE}", 0.0)),
    ("read-model-is-the-fold", member(KEYS.shared_key("emails"), f"old@example.com\t{ALICE}", 0.0)),
    ("read-model-is-the-fold", change(KEYS.document("user", ALICE), lifetimeValue="2500")),
    ("read-model-is-the-fold", change(KEYS.document("user", ALICE), orderCount=None)),
    ("read-model-is-the-fold", change(KEYS.document("user", ALICE), until="4")),
    ("read-model-is-the-fold", change(KEYS.document("user", BOB), name="Bob")),
    (
        "read-model-is-the-fold",
        add(KEYS.owned_key("recent", ALICE), [["4", "", "lifetimeValue", "1"]]),
    ),
    ("read-model-is-the-fold", add(KEYS.owned_key("recent", BOB), [["2", "", "name", "Bob"]])),
    ("read-model-is-the-fold", add(PLACE.generations, {KEYS.generation: "void"})),
    *[
        ("read-model-is-the-fold", lose(KEYS.shared_key(name)))
        for name in ("products", "prices", "prices-of", "created", "created-of")
    ],
    ("read-model-is-the-fold", lose(KEYS.document("product", LAMP))),
    ("read-model-is-the-fold", change(KEYS.document("product", LAMP), price="900")),
    ("read-model-is-the-fold", change(KEYS.document("product", LAMP), discontinuedAt="")),
    ("read-model-is-the-fold", change(KEYS.shared_key("prices"), sold="1850")),
    ("read-model-is-the-fold", change(KEYS.shared_key("prices"), lost="0")),
    ("read-model-is-the-fold", change(KEYS.shared_key("prices-of"), **{BOB: "950 sold"})),
    ("read-model-is-the-fold", change(KEYS.shared_key("created"), **{"2026-03 user": "2"})),
    (
        "read-model-is-the-fold",
        add(KEYS.owned_key("recent-prices", LAMP), [["2", "", "price", "950"]]),
    ),
    ("nobody-parked", park),
    ("nobody-parked", expect_parked),
    ("no-orphans", add(Keys(PLACE, "1a1-dead").index("users"), {BOB: 0.0})),
    ("no-orphans", add(f"{PLACE.prefix}:stray", "1")),
    ("no-orphans", add(Partition(1).cursor, "{}")),
    ("no-orphans", add("tandem:stray", "1")),
    ("no-orphans", add_a_group),
    ("all-acknowledged", of_group(pending=1)),
    ("all-acknowledged", of_group(unread=True)),
    ("all-acknowledged", lambda run: run.groups[0].clear()),
]


@pytest.mark.parametrize(("rule", "break_it"), BROKEN)
def test_what_is_wrong_in_redis_is_found(rule: str, break_it: Callable[[Run], None]) -> None:
    run = Run()
    break_it(run)
    assert rule in run.broken()


@pytest.mark.parametrize(
    "happen",
    [
        change(KEYS.counters, taken="9", anything="else"),
        add(KEYS.needs_resync, {ALICE}),
        member(PLACE.generations, "1a3-cafe", 0.0),
        add(PLACE.lease("another"), "me"),
        lose(KEYS.owned_key("recent", ALICE)),
        lambda run: run.keys[KEYS.owned_key("recent", ALICE)].pop(0),
    ],
)
def test_bookkeeping_may_be_anything_and_versions_may_be_forgotten(
    happen: Callable[[Run], None],
) -> None:
    run = Run()
    happen(run)
    assert run.violations() == []


def test_a_user_parked_on_purpose_may_be_shown_in_any_way_but_nobody_else() -> None:
    run = Run()
    park(run)
    expect_parked(run)
    change(KEYS.document("user", ALICE), version="3")(run)
    member(KEYS.shared_key("names"), f"alice 2\t{ALICE}", None)(run)
    assert run.violations() == []
    change(KEYS.shared_key("created"), **{"2026-03 user": "2"})(run)
    assert run.broken() == {"read-model-is-the-fold"}
    change(KEYS.shared_key("created"), **{"2026-03 user": None})(run)
    change(KEYS.shared_key("created-of"), **{ALICE: None})(run)
    assert run.violations() == []
    member(KEYS.index("users"), BOB, 0.0)(run)
    assert run.broken() == {"read-model-is-the-fold"}
