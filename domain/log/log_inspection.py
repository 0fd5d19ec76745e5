"""Inspects whether the event log still holds what the relay has published, however it was changed.

The windows of a cursor are compared every few seconds; a large one, as after a rebuild, only at a start, a
restart of PostgreSQL and when the table has a new file. If events differ, the log is not the one that was
published: its stream starts again, and the read models are rebuilt.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import msgspec

from domain.log.cursor import Bounds, Cursor, Snapshot
from domain.log.log_comparison import LogComparison, LogState
from domain.log.log_identity import ForeignLog, LogIdentity, Relation

INTERVAL_SECONDS: Final = 2.0
"""Seconds between two inspections."""

MAX_SMALL_WINDOW_EVENTS: Final = 1_000
"""Events of a window that is compared every time; a larger one only if the state of the log has changed."""

_NO_BOUNDS: Final = Bounds(Snapshot(1), 2**62)
"""For a cursor without bounds: no event is outside."""


class InspectionResult(msgspec.Struct, frozen=True):
    cursors: dict[int, Cursor]
    """By unchanged partition, the cursor to continue from, in the present server epoch."""
    changed: dict[int, str]
    """By partition whose log is not the one that was published, how that was detected."""


class LogInspection:
    """Inspects the log for one relay."""

    def __init__(self, log: LogComparison, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._log = log
        self._interval_seconds = interval_seconds
        self._last_at = time.monotonic()
        self._state: LogState | None = None
        self._compared: set[int] = set()
        """Partitions of which all windows were compared since the state of the log last changed."""

    def is_due(self, cursors: Mapping[int, Cursor]) -> bool:
        """Returns whether the interval is over, or a cursor was not compared yet."""
        state = self._state
        return (
            state is None
            or time.monotonic() >= self._last_at + self._interval_seconds
            or any(
                partition not in self._compared
                or cursor.server_epoch != state.server_epoch
                or cursor.log != state.identity
                for partition, cursor in cursors.items()
            )
        )

    def expire(self) -> None:
        """Makes the next inspection due immediately."""
        self._last_at = -self._interval_seconds

    def mark_compared(self, partition: int) -> None:
        """Records that the stream of a partition was started from the present log."""
        self._compared.add(partition)

    async def run(self, cursors: Mapping[int, Cursor]) -> InspectionResult:
        """Inspects these partitions. Raises ForeignLog, and what asyncpg raises."""
        state = await self._log.state()
        if self._state is None or _has_changed(self._state, state):
            self._compared.clear()
        self._state = state
        changed = await self._replaced(cursors, state)
        present = {
            partition: _in_present_epoch(cursor, state)
            for partition, cursor in cursors.items()
            if partition not in changed
        }
        bounds, outside = await self._log.compare_bounds(
            {partition: cursor.bounds or _NO_BOUNDS for partition, cursor in present.items()}
        )
        # If the end of the log is missing, the window that it was in may be of any size.
        self._compared -= {
            partition
            for partition, cursor in present.items()
            if cursor.bounds and bounds[partition].highest < cursor.bounds.highest
        }
        changed |= await self._different({number: cursors[number] for number in present})
        changed |= dict.fromkeys(outside, "it holds events that no window will show")
        # A changed partition is compared again if its stream does not start: another relay may append first.
        self._compared = (self._compared | present.keys()) - changed.keys()
        self._last_at = time.monotonic()
        return InspectionResult(
            {
                partition: msgspec.structs.replace(
                    cursor.without_settled_windows(), log=state.identity, bounds=bounds[partition]
                )
                for partition, cursor in present.items()
                if partition not in changed
            },
            changed,
        )

    async def _replaced(self, cursors: Mapping[int, Cursor], state: LogState) -> dict[int, str]:
        """Returns the partitions whose cursor is of a log that no longer exists, or of a later server."""
        relations: dict[LogIdentity | None, Relation] = {}
        changed = {}
        for partition, cursor in cursors.items():
            if cursor.log not in relations:
                relations[cursor.log] = await self._log.relation(cursor.log, state.identity)
            match relations[cursor.log]:
                case Relation.FOREIGN:
                    assert cursor.log is not None
                    raise ForeignLog(cursor.log, state.identity)
                case Relation.REPLACED:
                    changed[partition] = "it was created again"
                case _ if state.snapshot.xmax <= cursor.max_xid:
                    # This server has not assigned the numbers of the transactions that were published.
                    changed[partition] = "its server has not reached the transactions published"
        return changed

    async def _different(self, cursors: Mapping[int, Cursor]) -> dict[int, str]:
        """Returns the partitions in which events of a window are missing or different."""
        windows = [
            (partition, window)
            for partition, cursor in cursors.items()
            for window in cursor.windows
            if window.count <= MAX_SMALL_WINDOW_EVENTS or partition not in self._compared
        ]
        partitions = await self._log.changed_partitions(windows)
        return dict.fromkeys(partitions, "events that were published are missing or different")


def _has_changed(old: LogState, new: LogState) -> bool:
    return (old.server_epoch, old.identity, old.filenode) != (
        new.server_epoch,
        new.identity,
        new.filenode,
    )


def _in_present_epoch(cursor: Cursor, state: LogState) -> Cursor:
    if cursor.server_epoch == state.server_epoch:
        return cursor
    return cursor.after_restart(state.server_epoch)
