"""Inspects whether the event log still holds what the relay has carried, however it was changed.

The windows that a cursor keeps are compared every few seconds; a large one, as after a rebuild, at a start,
a restart of PostgreSQL and when the table has a new file. What differs is no longer the log that was carried:
its stream begins again, and the read models are rebuilt.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from domain.log.cursor import Cursor, Mark, Snapshot
from domain.log.event_log import EventLog
from domain.log.log_comparison import LogState
from domain.log.log_identity import ForeignLog, LogIdentity, Relation

INTERVAL_SECONDS: Final = 2.0
"""Seconds between two inspections."""

SMALL_LOG_EVENTS: Final = 1_000
"""Events of a window that is compared every time; a larger one only when something else is suspicious."""

_ABOVE_ALL: Final = Mark(Snapshot(1), 2**62)
"""The mark of a cursor without one: above it there is nothing."""

_log = structlog.get_logger(__name__)


class InspectionResult(msgspec.Struct, frozen=True):
    """What an inspection comes to."""

    cursors: dict[int, Cursor]
    """Of the partitions whose log is as it was carried: the cursors to go on from, in the present era."""
    changed: dict[int, str]
    """The partitions whose log is another than the one that was carried, and how that showed."""


class LogInspection:
    """Inspects the log for one relay."""

    def __init__(self, log: EventLog, *, every: float = INTERVAL_SECONDS) -> None:
        self._log = log
        self._every = every
        self._at = time.monotonic()
        self._state: LogState | None = None
        self._compared: set[int] = set()
        """Partitions of which all windows have been compared since the state of the log last changed."""

    def is_due(self, cursors: Mapping[int, Cursor]) -> bool:
        """Whether a cursor was not compared yet, or time is up."""
        state = self._state
        return (
            state is None
            or time.monotonic() >= self._at + self._every
            or any(
                partition not in self._compared
                or cursor.era != state.era
                or cursor.log != state.identity
                for partition, cursor in cursors.items()
            )
        )

    def expire(self) -> None:
        """Makes the next inspection due at once."""
        self._at = -self._every

    def begun(self, partition: int) -> None:
        """Notes that the stream of a partition was begun from the present log."""
        self._compared.add(partition)

    async def run(self, cursors: Mapping[int, Cursor]) -> InspectionResult:
        """Inspects these partitions. Raises ForeignLog, and what asyncpg raises."""
        state = await self._log.state()
        if self._state is None or _changed(self._state, state):
            self._compared.clear()
        self._state = state
        changed = await self._replaced(cursors, state)
        kept = {number: cursor for number, cursor in cursors.items() if number not in changed}
        known = {number: _present(cursor, state).mark for number, cursor in kept.items()}
        marks, excluded = await self._log.outside(
            {number: mark or _ABOVE_ALL for number, mark in known.items()}
        )
        # Where the end of the log is gone, the window that it was in may be of any size.
        self._compared -= {
            number
            for number, mark in known.items()
            if mark and marks[number].position < mark.position
        }
        changed |= await self._unequal(kept)
        changed |= dict.fromkeys(excluded, "it holds events that no window will show")
        # What changed is compared again if its stream is not begun: another relay may append meanwhile.
        self._compared = (self._compared | kept.keys()) - changed.keys()
        self._at = time.monotonic()
        return InspectionResult(
            {
                number: _moved(_present(cursor, state), state, marks[number])
                for number, cursor in kept.items()
                if number not in changed
            },
            changed,
        )

    async def _replaced(self, cursors: Mapping[int, Cursor], state: LogState) -> dict[int, str]:
        """The partitions whose cursor is of a log that is not there any more, or of a higher server."""
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
                    changed[partition] = "it was made anew"
                case _ if state.now.xmax <= cursor.top:
                    # A server that has not reached the numbers we appended never gave them.
                    changed[partition] = "its server has not reached the transactions carried"
        return changed

    async def _unequal(self, cursors: Mapping[int, Cursor]) -> dict[int, str]:
        """The partitions in which events of a window are missing or are others."""
        windows = [
            (number, window)
            for number, cursor in cursors.items()
            for window in cursor.carried
            if window.count <= SMALL_LOG_EVENTS or number not in self._compared
        ]
        found = await self._log.unequal(windows)
        return dict.fromkeys(found, "events that were carried are missing or are others")


def _changed(before: LogState, now: LogState) -> bool:
    return (before.era, before.identity, before.file) != (now.era, now.identity, now.file)


def _present(cursor: Cursor, state: LogState) -> Cursor:
    return cursor if cursor.era == state.era else cursor.reborn(state.era)


def _moved(cursor: Cursor, state: LogState, mark: Mark) -> Cursor:
    return msgspec.structs.replace(cursor.compared(), log=state.identity, mark=mark)
