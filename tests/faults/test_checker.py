"""Every rule of the checker: silent about a sound run, and not about one that is broken by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from readside.keys import POINTER, Keys, Partition
from tests.faults.checker import RULES, check
from tests.faults.evidence import Evidence, Logged, fingerprint
from tests.faults.history import Called, History, Row, Seen
from tests.faults.model import fold, read_model

ALICE, BOB = "01a209c1-d957-77bb-948a-8ffd6764b693", "01a209c1-e291-722a-b928-28e240c81feb"
ORDER = "01a209c9-828b-7f7d-bcc1-2ec48fa8bb68"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = Keys(Partition(0), "1a2-beef")
CHANGES: dict[str, Any] = {"name": "Alice 2"}


class Run:
    """A run that kept every promise, to be broken in one place."""

    def __init__(self) -> None:
        self.history = History()
        self.events = [
            logged(ALICE, 1, "UserCreated", name="Alice", email="alice@example.com"),
            logged(ALICE, 2, "UserRenamed", name="Alice 2"),
            logged(ALICE, 3, "OrderPlaced", order_id=ORDER, total=1250),
            logged(ALICE, 4, "OrderCompleted", order_id=ORDER, total=1250),
            logged(BOB, 1, "UserCreated", name="Bob", email="bob@example.com"),
            logged(BOB, 2, "UserErased"),
        ]
        self.called("createUser", {"name": "Alice", "email": "alice@example.com"}, ALICE, ALICE, 1)
        self.called("renameUser", {"userId": ALICE, "name": "Alice 2"}, ALICE, ALICE, 2)
        self.called("placeOrder", {"userId": ALICE, "total": "12.50"}, ORDER, ALICE, 3)
        self.called("completeOrder", {"orderId": ORDER}, ORDER, ALICE, 4)
        self.called("createUser", {"name": "Bob", "email": "bob@example.com"}, BOB, BOB, 1)
        self.called("eraseUser", {"userId": BOB}, BOB, BOB, 2)
        self.commands = {
            str(call.key): {"id": call.id, "user_id": user, "version": call.version}
            for call, user in zip(self.history.calls, [ALICE] * 4 + [BOB] * 2, strict=True)
        }
        self.users = {
            ALICE: row("Alice 2", "alice@example.com", 4, None),
            BOB: row("", "", 2, at(2)),
        }
        self.orders = {
            ORDER: {
                "user_id": ALICE,
                "total": 1250,
                "status": "COMPLETED",
                "placed_at": at(3),
                "closed_at": at(4),
            }
        }
        stories = fold(self.events, {})
        generations = {KEYS.generation: "live", f"{POINTER}{fingerprint(1)}": KEYS.generation}
        self.keys: dict[str, Any] = {
            **{KEYS.of(name): value for name, value in read_model(stories, 0, 1).items()},
            KEYS.counters: {"applied": "6"},
            Partition(0).generations: generations,
            Partition(0).cursor: "{}",
            Partition(0).owner("f"): "me",
        }
        self.groups = {0: [{"name": KEYS.generation, "pending": 0, "unread": False}]}
        self.seen(1, name="Alice")
        self.seen(4, orderCount=1, lifetimeValue="12.50", name="Alice 2")

    def called(self, command: str, given: dict[str, Any], id_: str, _: str, version: int) -> None:
        number = len(self.history.calls) + 1
        self.history.calls.append(
            Called(
                client="c",
                number=number,
                command=command,
                input=given,
                key=f"key {number}",
                started=number,
                ended=number + 0.5,
                outcome="ok",
                id=id_,
                version=version,
            )
        )

    def seen(self, version: int, *, query: Any = "user", **shown: Any) -> None:
        number = 100 + len(self.history.reads)
        facts: dict[str, Any] = {
            "name": "Alice 2",
            "orderCount": 0,
            "lifetimeValue": "0.00",
        } | shown
        alice = Row(
            id=ALICE,
            version=version,
            email="alice@example.com",
            createdAt=at(1).isoformat(),
            updatedAt=at(version).isoformat(),
            **facts,
        )
        self.history.reads.append(asked(number, rows=[alice], arguments={"id": ALICE}))

    def found(self) -> set[str]:
        evidence = Evidence(
            events=self.events,
            users=self.users,
            orders=self.orders,
            commands=self.commands,
            partitions=1,
            keys=self.keys,
            groups=self.groups,
        )
        return {violation.rule for violation in check(self.history, evidence)}


def logged(user: str, version: int, kind: str, **data: Any) -> Logged:
    return Logged(user, version, kind, data, at(version))


def at(version: int) -> datetime:
    return NOON + timedelta(seconds=version)


def row(name: str, email: str, version: int, erased: datetime | None) -> dict[str, Any]:
    return {
        "name": name,
        "email": email,
        "version": version,
        "created_at": at(1),
        "updated_at": at(version),
        "erased_at": erased,
    }


def asked(number: int, **more: Any) -> Seen:
    return Seen(client="c", number=number, query="user", started=number, ended=number + 0.5, **more)


def recall(run: Run, place: int, **changes: Any) -> None:
    run.history.calls[place] = msgspec.structs.replace(run.history.calls[place], **changes)


def again(run: Run, place: int, **changes: Any) -> None:
    run.history.calls.append(msgspec.structs.replace(run.history.calls[place], **changes))


def lose_event(run: Run) -> None:
    del run.events[1]
    run.events[1:3] = [msgspec.structs.replace(e, version=e.version - 1) for e in run.events[1:3]]


def write_twice(run: Run) -> None:
    run.events.insert(4, logged(ALICE, 5, "OrderPlaced", order_id=BOB, total=1250))


def write_refused(run: Run) -> None:
    recall(run, 2, outcome="fail", id=None, version=None, code="VERSION_CONFLICT")


def forget_answer(run: Run) -> None:
    del run.commands["key 2"]


def keep_refused(run: Run) -> None:
    run.commands["key 9"] = run.commands["key 2"]
    again(run, 1, number=9, key="key 9", outcome="fail", code="VERSION_CONFLICT")


def answer_otherwise(run: Run) -> None:
    again(run, 1, number=9, version=3)


def leave_hole(run: Run) -> None:
    run.events[3] = msgspec.structs.replace(run.events[3], version=5)


def change_row(run: Run) -> None:
    run.users[ALICE]["name"] = "Alice"


def lose_row(run: Run) -> None:
    run.orders.clear()


def show_after(version: int, **shown: Any) -> Callable[[Run], None]:
    return lambda run: run.seen(version, **shown)


def find_nobody(**arguments: Any) -> Callable[[Run], None]:
    return lambda run: run.history.reads.append(asked(200, arguments={"id": ALICE, **arguments}))


def fail_as(code: str) -> Callable[[Run], None]:
    return lambda run: run.history.reads.append(asked(200, arguments={"id": ALICE}, code=code))


def change_keys(**changes: Any) -> Callable[[Run], None]:
    """None deletes a key."""

    def change(run: Run) -> None:
        for name, value in changes.items():
            key = KEYS.of(name.replace("__", ":"))
            run.keys[key] = value
            if value is None:
                del run.keys[key]

    return change


def add_stray_member(run: Run) -> None:
    run.keys[KEYS.everyone] = {**run.keys[KEYS.everyone], BOB: 0.0}


def change_hash(run: Run) -> None:
    run.keys[KEYS.user(ALICE)] = {**run.keys[KEYS.user(ALICE)], "lifetimeValue": "2500"}


def serve_nothing(run: Run) -> None:
    run.keys[Partition(0).generations] = {KEYS.generation: "void"}


def add_orphan(run: Run) -> None:
    run.keys[Keys(Partition(0), "1a1-dead").everyone] = {BOB: 0.0}


def leave_pending(run: Run) -> None:
    run.groups[0][0]["pending"] = 1


def leave_unread(run: Run) -> None:
    run.groups[0][0]["unread"] = True


def lose_group(run: Run) -> None:
    run.groups[0].clear()


BROKEN: list[tuple[str, Callable[[Run], None]]] = [
    ("acknowledged-once", lose_event),
    ("nothing-twice", write_twice),
    ("nothing-twice", write_refused),
    ("command-rows", forget_answer),
    ("command-rows", keep_refused),
    ("same-answer", answer_otherwise),
    ("versions-without-hole", leave_hole),
    ("tables-are-the-fold", change_row),
    ("tables-are-the-fold", lose_row),
    ("read-model-is-the-fold", change_keys(emails=None)),
    ("read-model-is-the-fold", add_stray_member),
    ("read-model-is-the-fold", change_hash),
    ("read-model-is-the-fold", serve_nothing),
    ("nobody-parked", change_keys(parked={ALICE: "why"})),
    ("no-orphans", add_orphan),
    ("all-acknowledged", leave_pending),
    ("all-acknowledged", leave_unread),
    ("all-acknowledged", lose_group),
    ("read-is-a-prefix", show_after(4, orderCount=2, lifetimeValue="12.50")),
    ("read-is-a-prefix", show_after(9)),
    ("no-going-back", show_after(3, orderCount=1)),
    ("min-version-obeyed", lambda run: _too_old(run)),
    ("no-wrong-null", find_nobody()),
    ("no-wrong-null", find_nobody(minVersion=1)),
    ("every-failure-typed", fail_as("INTERNAL")),
]


def _too_old(run: Run) -> None:
    last = run.history.reads[-1]
    run.history.reads.append(
        msgspec.structs.replace(last, number=300, arguments={"id": ALICE, "minVersion": 5})
    )


def test_a_sound_run_has_no_violation() -> None:
    assert Run().found() == set()


@pytest.mark.parametrize(("rule", "break_it"), BROKEN)
def test_a_broken_run_is_caught(rule: str, break_it: Callable[[Run], None]) -> None:
    run = copy.deepcopy(Run())
    break_it(run)
    assert rule in run.found()


def test_every_rule_is_tried() -> None:
    assert {rule for rule, _ in BROKEN} == {rule.__name__.replace("_", "-") for rule in RULES}


def test_what_is_unknown_may_have_happened_or_not() -> None:
    happened = Run()
    recall(happened, 2, outcome="unknown", id=None, version=None)
    assert happened.found() == set()
    other = Run()
    again(other, 2, number=9, key="key 9", outcome="unknown", id=None, version=None)
    assert other.found() == set()


def test_after_its_erasure_was_asked_for_a_user_may_be_nobody() -> None:
    run = Run()
    run.history.reads.append(asked(300, arguments={"id": BOB, "minVersion": 1}))
    assert run.found() == set()


def test_a_command_that_changes_nothing_has_no_event_of_its_own() -> None:
    run = Run()
    again(run, 1, number=9, key="key 9", version=4)
    run.commands["key 9"] = {"id": ALICE, "user_id": ALICE, "version": 4}
    assert run.found() == set()
