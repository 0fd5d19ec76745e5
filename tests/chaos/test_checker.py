"""The checker is silent about a sound run, and says so much of a broken one that a person finds the case."""

from __future__ import annotations

from tests.chaos.checker import MOST, RULES
from tests.chaos.sound_run import ALICE, Run
from tests.chaos.test_rules_of_reads import BROKEN as BROKEN_READS
from tests.chaos.test_rules_of_the_log import BROKEN as BROKEN_LOG
from tests.chaos.test_rules_of_the_read_model import BROKEN as BROKEN_READ_MODEL


def test_a_sound_run_breaks_no_rule() -> None:
    assert Run().violations() == []


def test_every_rule_is_tried() -> None:
    tried = {rule for rule, _ in [*BROKEN_LOG, *BROKEN_READ_MODEL, *BROKEN_READS]}
    assert tried == {rule.__name__.replace("_", "-") for rule in RULES}


def test_a_violation_says_who_what_and_where() -> None:
    run = Run()
    run.see(3, orderCount=1)
    [violation] = run.violations()
    assert violation.what == (
        f"user {{'id': '{ALICE}'}} of c (number 102) showed version 3 of {ALICE} after version 4"
    )


def test_violations_without_end_are_counted() -> None:
    run = Run()
    for _ in range(MOST + 5):
        run.ask(code="INTERNAL")
    found = run.violations()
    assert len(found) == MOST + 1
    assert found[-1].what == "and 5 more like these"
