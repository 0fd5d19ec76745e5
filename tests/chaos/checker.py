"""Judges a run by its history and by what is left in the stores: an empty list means every promise was kept.

The rules are those of docs/guarantees.md. Each finds out by itself: none trusts what another has checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import msgspec

from tests.chaos import rules_of_reads, rules_of_the_log, rules_of_the_read_model
from tests.chaos.case import Case
from tests.chaos.evidence import Evidence, collecting_nothing
from tests.chaos.history import History

MOST = 20
"""Violations of one rule that are told one by one."""

RULES: tuple[Callable[[Case], Iterator[str]], ...] = (
    *rules_of_the_log.RULES,
    *rules_of_the_read_model.RULES,
    *rules_of_reads.RULES,
)


class Violation(msgspec.Struct, frozen=True):
    rule: str
    what: str


def check(
    history: History, evidence: Evidence, *, parked: frozenset[str] = frozenset()
) -> list[Violation]:
    """The violations of every rule. `parked`: the users who should be set aside, and nobody else."""
    with collecting_nothing():
        case = Case(history, evidence, parked)
        return [
            Violation(rule.__name__.replace("_", "-"), what)
            for rule in RULES
            for what in _some(rule(case))
        ]


def _some(found: Iterator[str]) -> Iterator[str]:
    yield from islice(found, MOST)
    if rest := sum(1 for _ in found):
        yield f"and {rest} more like these"
