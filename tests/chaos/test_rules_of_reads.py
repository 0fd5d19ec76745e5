"""The checker's rules about what was shown: each is broken by hand, and each lets pass what it must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.history import Shown, Watched
from tests.chaos.sound_run import ALICE, BOB, LAMP, Run, alice, at, lamp

LATEST = alice(4, orderCount=1, lifetimeValue="12.50")


def ask(**circumstances: Any) -> Callable[[Run], None]:
    return lambda run: run.ask(**circumstances)


def see(version: int, **shown: Any) -> Callable[[Run], None]:
    return lambda run: run.see(version, **shown)


def latest(**shown: Any) -> Callable[[Run], None]:
    """Alice as she is in the end, but for this."""
    return see(4, **{"orderCount": 1, "lifetimeValue": "12.50", **shown})


def see_the_erased(run: Run) -> None:
    row = alice(2, id=BOB, name="", email="")
    run.ask(rows=[row], arguments={"id": BOB})


def see_nobody_after_an_erasure_that_never_came(run: Run) -> None:
    run.call("eraseUser", ALICE, 5, userId=ALICE)
    run.recall(run.last, outcome="unknown", key=None, id=None, version=None)
    del run.commands[f"key {run.last}"]
    run.ask()


def find(email: str) -> Callable[[Run], None]:
    return ask(query="userByEmail", arguments={"email": email}, rows=[LATEST])


def listed(query: str, first: int, times: int) -> Callable[[Run], None]:
    return ask(query=query, arguments={"first": first}, rows=[LATEST] * times)


def watch(*versions: int, resubscribed: tuple[int, ...] = ()) -> Callable[[Run], None]:
    return lambda run: run.watch(*versions, resubscribed=resubscribed)


def watch_what_never_was(run: Run) -> None:
    run.history.watches.append(
        Watched(client="w", user=ALICE, told=[(True, alice(2)), (False, alice(3))])
    )


def ask_for_the_lamp(
    *versions: int, first: int | None = None, **shown: Any
) -> Callable[[Run], None]:
    arguments = {"id": LAMP} if first is None else {"first": first}
    rows = [lamp(version, **shown) for version in versions]
    return ask(query="product" if first is None else "products", arguments=arguments, rows=rows)


def watch_the_lamp(*versions: int) -> Callable[[Run], None]:
    told: list[tuple[bool, Shown]] = [
        (place == 0, lamp(version, price="9.00" if version == 1 else "9.50"))
        for place, version in enumerate(versions)
    ]
    watched = Watched(client="w", user=LAMP, aggregate="product", told=told)
    return lambda run: run.history.watches.append(watched)


BROKEN: list[tuple[str, Callable[[Run], None]]] = [
    ("read-is-a-prefix", latest(orderCount=2)),
    ("read-is-a-prefix", latest(lifetimeValue="12.505")),
    ("read-is-a-prefix", latest(lifetimeValue="much")),
    ("read-is-a-prefix", latest(name="Alice")),
    ("read-is-a-prefix", latest(updatedAt=at(3).isoformat())),
    ("read-is-a-prefix", latest(createdAt="2026-03-01T12:00:01")),
    ("read-is-a-prefix", see(9)),
    ("read-is-a-prefix", see(1, id="nobody")),
    ("read-is-a-prefix", see_the_erased),
    ("read-is-a-prefix", ask_for_the_lamp(2, price="9.00")),
    ("read-is-a-prefix", ask_for_the_lamp(2, sku="L-2")),
    ("read-is-a-prefix", ask_for_the_lamp(2, discontinuedAt=at(2).isoformat())),
    ("read-is-a-prefix", ask_for_the_lamp(2, id=ALICE)),
    ("answers-what-was-asked", ask_for_the_lamp(2, 2, first=2)),
    ("answers-what-was-asked", ask_for_the_lamp(2, first=0)),
    ("answers-what-was-asked", ask(arguments={"id": BOB}, rows=[LATEST])),
    ("answers-what-was-asked", ask(rows=[LATEST, LATEST])),
    ("answers-what-was-asked", find("bob@example.com")),
    ("answers-what-was-asked", listed("users", 0, 1)),
    ("answers-what-was-asked", listed("users", 2, 2)),
    ("answers-what-was-asked", listed("topCustomers", 2, 2)),
    ("no-going-back", see(3, orderCount=1)),
    ("min-version-obeyed", ask(arguments={"id": ALICE, "minVersion": 5}, rows=[LATEST])),
    ("watched-in-order", watch(1, 2, 4, resubscribed=(0,))),
    ("watched-in-order", watch(1, 2, 2, resubscribed=(0,))),
    ("watched-in-order", watch(2, 1, resubscribed=(0,))),
    ("watched-in-order", watch(4, 5, resubscribed=(0,))),
    ("watched-in-order", watch_what_never_was),
    ("watched-in-order", watch_the_lamp(2, 1)),
    ("no-wrong-null", ask()),
    ("no-wrong-null", ask(query="product", arguments={"id": LAMP, "minVersion": 1})),
    ("no-wrong-null", ask(client="another", arguments={"id": ALICE, "minVersion": 1})),
    ("no-wrong-null", ask(arguments={"id": BOB, "minVersion": 1}, started=1.0, ended=5.5)),
    ("no-wrong-null", see_nobody_after_an_erasure_that_never_came),
]


@pytest.mark.parametrize(("rule", "break_it"), BROKEN)
def test_what_was_shown_wrong_is_found(rule: str, break_it: Callable[[Run], None]) -> None:
    run = Run()
    break_it(run)
    assert rule in run.broken()


def see_the_erased_as_he_was(run: Run) -> None:
    """His name is blanked in the log, and known from the command."""
    row = alice(1, id=BOB, name="Bob", email="bob@example.com")
    run.ask(rows=[row], arguments={"id": BOB})


SOUND = [
    ask(client="another"),
    ask(started=1.0, ended=2.0),
    ask(arguments={"id": BOB, "minVersion": 1}),
    ask(arguments={"id": BOB, "minVersion": 1}, started=1.0, ended=6.1),
    ask(code="READ_MODEL_REBUILDING"),
    see_the_erased_as_he_was,
    ask(client="another", rows=[alice(3, orderCount=1)]),
    ask(rows=[alice(3, orderCount=1)], started=101.4, ended=101.6),
    watch(resubscribed=()),
    watch(2, 3, 4, resubscribed=(0,)),
    watch(1, 3, 4, 4, resubscribed=(0, 1, 3)),
    find("ALICE@example.com"),
    ask(query="userByEmail", arguments={"email": "bob@example.com"}),
    ask_for_the_lamp(2),
    ask_for_the_lamp(1, price="9.00"),
    ask_for_the_lamp(2, first=1),
    watch_the_lamp(1, 2),
    listed("users", 1, 1),
    listed("topCustomers", 1, 1),
]


@pytest.mark.parametrize("happen", SOUND)
def test_what_may_be_shown_breaks_no_rule(happen: Callable[[Run], None]) -> None:
    run = Run()
    happen(run)
    assert run.violations() == []


def test_the_erased_are_not_shown_under_another_name() -> None:
    run = Run()
    run.ask(rows=[alice(1, id=BOB, name="Rob", email="bob@example.com")], arguments={"id": BOB})
    assert run.broken() == {"read-is-a-prefix"}


def test_when_redis_lost_what_it_had_acknowledged_only_reads_with_a_version_are_held_to_it() -> (
    None
):
    run = Run()
    run.history.lossy = True
    run.see(3, orderCount=1)
    run.ask()
    assert run.violations() == []
    run.ask(arguments={"id": ALICE, "minVersion": 1})
    assert run.broken() == {"no-wrong-null"}
