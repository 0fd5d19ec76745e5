"""From the event log to the streams: everything once, each user's events in order, waiting for nobody.

Per pass: read what became visible since the last look, append it to the streams, each partition by one
compare-and-append. The cursor in Redis moves only together with the entries, so whatever is killed in
between, the next pass reads the true cursor and goes on from there. Two relays do no harm: one of them
loses the comparison and reads again.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec
import structlog

from domain.envelope import Envelope
from domain.log.cursor import Cursor, Snapshot, Window, decoded
from domain.log.event_log import Entry, EventLog
from domain.log.log_inspection import INTERVAL_SECONDS, LogInspection

MAX_APPEND_EVENTS = 500
"""The most entries of one append."""

_log = structlog.get_logger(__name__)


class StreamAppend(msgspec.Struct, frozen=True, kw_only=True):
    """Move a partition's cursor and append these entries, if the cursor still is `expected`."""

    partition: int
    expected: bytes
    cursor: bytes
    entries: list[bytes]


class EventStream(Protocol):
    """Where entries go; the read side implements it on Redis."""

    async def cursors(self, partitions: Sequence[int]) -> list[bytes | None]:
        """The cursor of each partition, None where there is none."""

    async def begin(self, partition: int, expected: bytes | None, cursor: bytes) -> bool:
        """Starts over with an empty stream, and voids what was built from the old one.

        Returns False, having done nothing, if the cursor is no longer the expected one.
        """

    async def append(self, appends: Sequence[StreamAppend]) -> list[bool]:
        """Whether each was done; it is not when the cursor was no longer the expected one."""


class _Plan(msgspec.Struct, frozen=True):
    append: StreamAppend
    cursor: Cursor
    """What append.cursor says."""
    entries: list[Entry]


class Relay:
    """Carries the events of some partitions. One pass at a time."""

    def __init__(
        self,
        log: EventLog,
        stream: EventStream,
        partitions: Iterable[int],
        *,
        verify_every: float = 0.5,
        inspect_every: float = INTERVAL_SECONDS,
        told: Callable[[Envelope], None] | None = None,
    ) -> None:
        """`verify_every`: seconds between looks whether Redis still has the cursors we remember;
        `inspect_every`: seconds between comparisons of what was carried with the log.

        `told` is called with each event that has been appended.
        """
        self._log = log
        self._stream = stream
        self._partitions = tuple(partitions)
        self._cursors: dict[int, tuple[bytes, Cursor]] = {}
        # How far each partition has been seen to hold nothing new, which is further than its cursor says:
        # a cursor is stored only together with entries.
        self._seen: dict[int, Snapshot] = {}
        self._verify_every = verify_every
        self._told = told
        self.appended = 0
        """Events, since the start."""
        self.lost = 0
        """Comparisons: another relay was faster, or Redis is not what it was."""
        self._verified_at = time.monotonic()
        self._inspection = LogInspection(log, every=inspect_every)

    async def run_once(self) -> bool:
        """One pass over all partitions; answers whether it knows of more to do at once. Raises ForeignLog."""
        await self._verify_cursors()
        begun = await self._read_cursors()
        if await self._inspect():
            return True
        groups: dict[Snapshot, list[int]] = defaultdict(list)
        paging = []
        for partition, snapshot in self._seen.items():
            if self._cursors[partition][1].page is None:
                groups[snapshot].append(partition)
            else:
                paging.append(partition)
        more = [begun, *[await self._next_page(partition) for partition in paging]]
        more += [await self._window(since, partitions) for since, partitions in groups.items()]
        return any(more)

    async def _verify_cursors(self) -> None:
        """An append would notice a changed cursor; this notices it where there is nothing to append."""
        if time.monotonic() < self._verified_at + self._verify_every:
            return
        known = list(self._cursors)
        for partition, raw in zip(known, await self._stream.cursors(known), strict=True):
            if raw != self._cursors[partition][0]:
                self._forget([partition])
        self._verified_at = time.monotonic()

    async def _read_cursors(self) -> bool:
        """Whether a stream was begun, whose cursor is to be read next."""
        unknown = [partition for partition in self._partitions if partition not in self._cursors]
        if not unknown:
            return False
        begun = False
        for partition, raw in zip(unknown, await self._stream.cursors(unknown), strict=True):
            cursor = decoded(raw)
            if raw is None or cursor is None:
                await self._begin(partition, raw)
                begun = True
            else:
                self._cursors[partition] = raw, cursor
                self._seen[partition] = cursor.snapshot
        return begun

    async def _inspect(self) -> bool:
        """Whether streams were begun, because the log is not the one that was carried."""
        cursors = {partition: cursor for partition, (_, cursor) in self._cursors.items()}
        if not cursors or not self._inspection.is_due(cursors):
            return False
        found = await self._inspection.run(cursors)
        for partition, cursor in found.cursors.items():
            raw, before = self._cursors[partition]
            self._cursors[partition] = raw, cursor
            if cursor.era != before.era:
                self._seen[partition] = cursor.snapshot
        for partition, how in found.changed.items():
            _log.warning("relay.log_changed", partition=partition, how=how)
            await self._begin(partition, self._cursors[partition][0])
        return bool(found.changed)

    async def start_over(self, *, take_over: bool = False) -> None:
        """Begins the streams of all partitions from the present log, so that the read models are rebuilt.

        `take_over` allows this of the streams of another log. Raises ForeignLog.
        """
        for partition in self._partitions:
            present = await self._present(partition)
            done = False
            while not done:  # a relay that runs may append at this very moment
                [raw] = await self._stream.cursors([partition])
                cursor = decoded(raw)
                if not take_over and cursor is not None:
                    await self._log.refuse_foreign({cursor.log})
                done = await self._stream.begin(partition, raw, present.encode())
            self._forget([partition])

    async def _begin(self, partition: int, expected: bytes | None) -> bool:
        """A stream that starts now: what is in the log already reaches the read model by a rebuild."""
        cursor = await self._present(partition)
        begun = await self._stream.begin(partition, expected, cursor.encode())
        self._forget([partition])
        if begun:
            self._inspection.begun(partition)
        return begun

    async def _present(self, partition: int) -> Cursor:
        """The cursor behind all that the log holds now."""
        while True:
            state = await self._log.state()
            past, mark = await self._log.all_until(partition, state.now)
            _, era = await self._log.now()
            if (
                era == state.era
            ):  # else the snapshot may name other transactions than those of the log
                break
        return Cursor(
            era=era,
            snapshot=state.now,
            top=past.top,
            last=past if past.count else None,
            log=state.identity,
            mark=mark,
        )

    async def _window(self, since: Snapshot, partitions: list[int]) -> bool:
        """Append what became visible since a snapshot that these partitions have in common."""
        news = await self._log.since(since, partitions, MAX_APPEND_EVENTS)
        if any(self._cursors[partition][1].era != news.era for partition in partitions):
            self._inspection.expire()  # the snapshots are from before a restart
            return True
        entries: dict[int, list[Entry]] = defaultdict(list)
        for entry in news.entries:
            entries[entry.partition].append(entry)
        appends, more = [], False
        for partition in partitions:
            found = entries[partition]
            if len(found) >= MAX_APPEND_EVENTS:
                more |= await self._turn_to_pages(partition, Window(since=since, until=news.now))
            elif found:
                appends.append(self._append(partition, _grown(since, news.now, found), found, True))
            else:
                self._seen[partition] = news.now
        return await self._carry_out(appends) or more

    async def _turn_to_pages(self, partition: int, window: Window) -> bool:
        """Too much for one append: from now on this window is read in pages, up to its `until`."""
        floor = await self._log.floor(partition, window)
        raw, cursor = self._cursors[partition]
        page = msgspec.structs.replace(window, position=floor)
        self._cursors[partition] = raw, cursor.advanced(page, closed=False)
        return await self._next_page(partition)

    async def _next_page(self, partition: int) -> bool:
        _, cursor = self._cursors[partition]
        assert cursor.page is not None
        found = await self._log.page(partition, cursor.page, MAX_APPEND_EVENTS)
        _, era = await self._log.now()
        if cursor.era != era:  # a restart between the two would be missed if the era was read first
            self._inspection.expire()
            return True
        window = _grown(cursor.page.since, cursor.page.until, found, cursor.page)
        return await self._carry_out(
            [self._append(partition, window, found, len(found) < MAX_APPEND_EVENTS)]
        )

    def _append(self, partition: int, window: Window, entries: list[Entry], closed: bool) -> _Plan:
        raw, cursor = self._cursors[partition]
        after = cursor.advanced(window, closed=closed)
        encoded = [msgspec.json.encode(entry.envelope) for entry in entries]
        append = StreamAppend(
            partition=partition, expected=raw, cursor=after.encode(), entries=encoded
        )
        return _Plan(append, after, entries)

    async def _carry_out(self, planned: list[_Plan]) -> bool:
        """Whether something is left: a page more, or a comparison that was lost."""
        if not planned:
            return False
        appends = [plan.append for plan in planned]
        # Until the reply is read we do not know what the cursors are: a lost reply means reading them again.
        self._forget(append.partition for append in appends)
        more = False
        for done, plan in zip(await self._stream.append(appends), planned, strict=True):
            if done:
                self._cursors[plan.append.partition] = plan.append.cursor, plan.cursor
                self._seen[plan.append.partition] = plan.cursor.snapshot
                self._done(plan.entries)
            else:
                self.lost += 1
            more |= not done or plan.cursor.page is not None
        return more

    def _done(self, entries: list[Entry]) -> None:
        self.appended += len(entries)
        if self._told is not None:
            for entry in entries:
                self._told(entry.envelope)

    def _forget(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            self._cursors.pop(partition, None)
            self._seen.pop(partition, None)


def _grown(
    since: Snapshot, until: Snapshot, entries: list[Entry], so_far: Window | None = None
) -> Window:
    """The window after these entries of it."""
    before = so_far or Window(since=since, until=until)
    return Window(
        since=since,
        until=until,
        position=max([before.position, *(entry.position for entry in entries)]),
        count=before.count + len(entries),
        marks=before.marks + sum(entry.mark for entry in entries),
        top=max([before.top, *(entry.xid for entry in entries)]),
        bottom=min(filter(None, [before.bottom, *(entry.xid for entry in entries)]), default=0),
    )
