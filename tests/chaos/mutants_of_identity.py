"""Mutants of how a changed or foreign event log is detected; the stage of `identity` must find each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from domain.log import log_identity
from domain.log.cursor import Cursor
from domain.log.log_comparison import LogComparison
from domain.log.log_identity import Relation
from domain.log.log_inspection import LogInspection
from tests.chaos.identity_run import (
    another_log_at_the_same_redis,
    events_of_another_server,
    lost_what_was_visible_first,
    restored_in_place,
)
from tests.chaos.mutation import get, put


def no_comparison_of_windows() -> None:
    """Nothing compares what was carried with the log."""

    async def equal(*_: object) -> dict[int, str]:
        return {}

    put(LogInspection, "_different", equal)


def only_the_last_window() -> None:
    """A cursor keeps no window but the last, as if commits became visible in the order of their log."""
    put(Cursor, "_next_earlier_windows", lambda _: ())


def foreign_logs_accepted() -> None:
    """Any log goes on from the cursor that is there."""

    async def same(*_: object) -> Relation:
        return Relation.SAME

    put(log_identity, "compare_identities", same)


def no_marks() -> None:
    """Nothing looks for events whose transaction numbers another server gave out."""
    outside = get(LogComparison, "compare_bounds")

    async def marked(self: LogComparison, marks: Any) -> Any:
        found, _ = await outside(self, marks)
        return found, set()

    put(LogComparison, "compare_bounds", marked)


STAGES: dict[Callable[[], None], Callable[..., Awaitable[None]]] = {
    no_comparison_of_windows: restored_in_place,
    only_the_last_window: lost_what_was_visible_first,
    foreign_logs_accepted: another_log_at_the_same_redis,
    no_marks: events_of_another_server,
}
"""The stage that shows each mutant."""

MUTANTS = {patch.__name__: patch for patch in STAGES}
