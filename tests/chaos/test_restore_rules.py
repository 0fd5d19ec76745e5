"""What a restore may have taken back is not held against a run, and nothing else is let through."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from tests.chaos.history import Shown, Watched
from tests.chaos.restore_rules import Restored, unexplained
from tests.chaos.sound_run import ALICE, Run, alice

RESTORED = Restored(dumped=250.0, restored=260.0, detected=265.0)


@pytest.fixture
def run() -> Run:
    run = Run()
    run.restores.append(RESTORED)
    return run


@pytest.mark.parametrize(
    ("started", "judged"), [(240.0, True), (249.8, False), (255.0, False), (260.5, True)]
)
def test_a_command_may_be_lost_if_it_was_answered_after_the_dump_and_sent_before_the_restore(
    run: Run, started: float, judged: bool
) -> None:
    run.call("renameUser", ALICE, 5, userId=ALICE, name="Lost")
    run.recall(run.last, started=started, ended=started + 0.4)
    del run.commands[f"key {run.last}"]
    assert run.broken() == ({"acknowledged-once", "command-rows"} if judged else set())


def test_a_command_that_was_carried_out_before_the_dump_is_still_known(run: Run) -> None:
    run.recall(4, started=255.0, ended=256.0)
    assert run.broken() == set()
    run.recall(4, command="renameUser", input={"userId": ALICE, "name": "Else"})
    assert run.broken() == {"acknowledged-once", "nothing-twice"}


@pytest.mark.parametrize(
    ("started", "judged"), [(240.0, True), (249.8, False), (264.0, False), (265.5, True)]
)
def test_a_query_may_show_what_is_lost_until_the_restore_is_detected(
    run: Run, started: float, judged: bool
) -> None:
    run.ask(rows=[alice(5)], started=started, ended=started + 0.4)
    assert run.broken() == ({"read-is-a-prefix"} if judged else set())


def test_a_reader_may_go_back_over_a_restore_and_not_behind_the_dump(run: Run) -> None:
    run.see(4, orderCount=1, lifetimeValue="12.50")
    run.ask(rows=[alice(7)], started=262.0, ended=263.0)
    run.ask(rows=[alice(4, orderCount=1, lifetimeValue="12.50")], started=270.0, ended=271.0)
    assert run.broken() == set()
    run.ask(rows=[alice(3, orderCount=1)], started=280.0, ended=281.0)
    assert run.broken() == {"no-going-back"}


@pytest.mark.parametrize(("at", "judged"), [(240.0, True), (264.0, False), (270.0, True)])
def test_a_watcher_may_be_told_what_is_lost_until_the_restore_is_detected(
    run: Run, at: float, judged: bool
) -> None:
    told: list[tuple[bool, Shown]] = [(True, alice(3, orderCount=1)), (False, alice(5))]
    run.history.watches.append(Watched(client="w", user=ALICE, told=told, times=[230.0, at]))
    assert run.broken() == ({"watched-in-order"} if judged else set())


def test_after_a_restore_a_watcher_is_told_each_version_once(run: Run) -> None:
    rows = [alice(5), alice(3, orderCount=1), alice(3, orderCount=1)]
    told: list[tuple[bool, Shown]] = [(False, row) for row in rows]
    watched = Watched(client="w", user=ALICE, told=told[:2], times=[255.0, 270.0])
    run.history.watches.append(watched)
    assert run.broken() == set()
    run.history.watches[0] = Watched(client="w", user=ALICE, told=told, times=[255.0, 270.0, 271.0])
    assert run.broken() == {"watched-in-order"}


def test_an_error_of_an_unknown_type_is_one_at_any_time(run: Run) -> None:
    run.ask(code="INTERNAL", started=255.0, ended=256.0)
    assert run.broken() == {"every-failure-typed"}


@pytest.mark.parametrize(
    ("event", "seconds_after_dump", "remains"),
    [
        ("aggregate.parked", 11.0, False),
        ("rebuild.failed", 14.9, False),
        ("aggregate.parked", 16.0, True),
        ("rebuild.failed", -1.0, True),
        ("operation.crashed", 11.0, True),
    ],
)
def test_an_error_about_lost_events_is_explained_by_a_restore_until_that_is_detected(
    event: str, seconds_after_dump: float, remains: bool
) -> None:
    at = time.time() - time.monotonic() + RESTORED.dumped + seconds_after_dump
    said = {"event": event, "timestamp": datetime.fromtimestamp(at, UTC).isoformat()}
    complaint = f"projector-1: {json.dumps(said)}"
    assert unexplained([complaint], [RESTORED]) == [complaint] * remains


def test_a_complaint_that_is_no_line_of_the_log_remains() -> None:
    complaints = ["projector-1: Traceback (most recent call last):", "api ended by itself"]
    assert unexplained(complaints, [RESTORED]) == complaints
