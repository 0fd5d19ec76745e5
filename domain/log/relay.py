"""The relay: publishes the event log to the streams, every event once and each aggregate's events in order.

Each pass reads what became visible since the last one, and appends it to the stream of each partition with a
compare-and-append. The cursor in Redis moves only together with the entries. So whatever is killed in
between, the next pass reads the true cursor and continues from there; and of two relays, one loses the
comparison and reads the cursor again. No open transaction holds other events back.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec
import structlog

from domain.envelope import Envelope
from domain.log.cursor import Cursor, Snapshot, Window, decode_cursor
from domain.log.log_identity import refuse_foreign
from domain.log.log_inspection import INTERVAL_SECONDS, LogInspection
from domain.log.relay_log import Entry, RelayLog

MAX_APPEND_EVENTS = 500
"""Entries of one append."""

_log = structlog.get_logger(__name__)


class StreamAppend(msgspec.Struct, frozen=True, kw_only=True):
    """A request to append entries and move a partition's cursor, if it is still `expected`."""

    partition: int
    expected: bytes
    cursor: bytes
    entries: list[bytes]


class EventStream(Protocol):
    """The streams; the read side implements them on Redis."""

    async def cursors(self, partitions: Sequence[int]) -> Sequence[bytes | Exception | None]:
        """Returns the cursor of each partition; None where it does not exist.

        An error is that of a partition on a node of a cluster that is unavailable alone.
        """

    async def reset(self, partition: int, expected: bytes | None, cursor: bytes) -> bool:
        """Empties the stream, sets its cursor and invalidates the generations built from the old stream.

        Returns False, having done nothing, if the cursor is no longer the expected one.
        """

    async def append(self, appends: Sequence[StreamAppend]) -> Sequence[bool | Exception]:
        """Returns which appends were done; others did not find the expected cursor.

        An error as in `cursors`.
        """


class _PlannedAppend(msgspec.Struct, frozen=True):
    append: StreamAppend
    cursor: Cursor
    """The decoded `append.cursor`."""
    entries: list[Entry]


class Relay:
    """Publishes the events of some partitions. Its passes must not run concurrently."""

    def __init__(
        self,
        log: RelayLog,
        stream: EventStream,
        partitions: Iterable[int],
        *,
        verify_interval_seconds: float = 0.5,
        inspection_interval_seconds: float = INTERVAL_SECONDS,
        on_appended: Callable[[Envelope], None] | None = None,
    ) -> None:
        """`verify_interval_seconds`: between checks that Redis still has the cursors that are cached here;
        `inspection_interval_seconds`: between inspections of the log.

        `on_appended` is called with each event that was appended.
        """
        self._log = log
        self._stream = stream
        self._partitions = tuple(partitions)
        self._cursors: dict[int, tuple[bytes, Cursor]] = {}
        # The snapshot up to which each partition has no further events, which may be later than that of its
        # cursor: a cursor is stored only together with entries.
        self._seen: dict[int, Snapshot] = {}
        self._verify_interval_seconds = verify_interval_seconds
        self._on_appended = on_appended
        self.appended = 0
        """The number of events appended since the start."""
        self.lost_races = 0
        """Appends that did not find the expected cursor: another relay was faster, or Redis lost data."""
        self._unavailable = 0  # partitions, at the last pass
        self._verified_at = time.monotonic()
        self._inspection = LogInspection(
            log.comparison, interval_seconds=inspection_interval_seconds
        )

    async def run_once(self) -> bool:
        """Runs one pass over all partitions; returns whether there is more to do now. Raises ForeignLog.

        Partitions that are unavailable alone wait for a later pass. If all are, raises the error of one.
        """
        await self._verify_cursors()
        started = await self._read_cursors()
        if await self._inspect():
            return True
        by_snapshot: dict[Snapshot, list[int]] = defaultdict(list)
        paging = []
        for partition, snapshot in self._seen.items():
            if self._cursors[partition][1].page is None:
                by_snapshot[snapshot].append(partition)
            else:
                paging.append(partition)
        more = [started, *[await self._append_page(partition) for partition in paging]]
        more += [await self._append_new(since, numbers) for since, numbers in by_snapshot.items()]
        return any(more)

    async def _verify_cursors(self) -> None:
        """Detects a changed cursor where no append would, because there is nothing to append."""
        if time.monotonic() < self._verified_at + self._verify_interval_seconds:
            return
        cached = list(self._cursors)
        for partition, raw in zip(cached, await self._stream.cursors(cached), strict=True):
            if raw != self._cursors[partition][0]:
                self._forget([partition])
        self._verified_at = time.monotonic()

    async def _read_cursors(self) -> bool:
        """Returns whether a stream was started, whose cursor must be read next."""
        missing = [partition for partition in self._partitions if partition not in self._cursors]
        if not missing and not self._unavailable:
            return False
        started, errors = False, list[Exception]()
        for partition, raw in zip(missing, await self._stream.cursors(missing), strict=True):
            if isinstance(raw, Exception):
                errors.append(raw)
                continue
            cursor = decode_cursor(raw)
            if raw is None or cursor is None:
                await self._start_stream(partition, raw)
                started = True
            else:
                self._cursors[partition] = raw, cursor
                self._seen[partition] = cursor.snapshot
        if len(errors) != self._unavailable:
            self._unavailable = len(errors)
            if errors:
                _log.warning("relay.partitions_unavailable", partitions=len(errors))
            else:
                _log.info("relay.partitions_available")
        if errors and not (self._cursors or started):
            raise errors[0]
        return started

    async def _inspect(self) -> bool:
        """Returns whether streams were started, because the log is not the one that was published."""
        cursors = {partition: cursor for partition, (_, cursor) in self._cursors.items()}
        if not cursors or not self._inspection.is_due(cursors):
            return False
        result = await self._inspection.run(cursors)
        for partition, cursor in result.cursors.items():
            raw, previous = self._cursors[partition]
            self._cursors[partition] = raw, cursor
            if cursor.server_epoch != previous.server_epoch:
                self._seen[partition] = cursor.snapshot
        for partition, how in result.changed.items():
            _log.warning("relay.log_changed", partition=partition, how=how)
            await self._start_stream(partition, self._cursors[partition][0])
        return bool(result.changed)

    async def restart_streams(self, *, take_over: bool = False) -> None:
        """Starts the streams of all partitions from the present log, so that read models are rebuilt.

        `take_over` allows this for the streams of another log. Raises ForeignLog.
        """
        for partition in self._partitions:
            present = (await self._present_cursor(partition)).encode()
            done = False
            while not done:  # a running relay may append at the same time
                [raw] = await self._stream.cursors([partition])
                if isinstance(raw, Exception):
                    raise raw
                cursor = decode_cursor(raw)
                if not take_over and cursor is not None:
                    await refuse_foreign(self._log.pool, [cursor.log])
                done = await self._stream.reset(partition, raw, present)
            self._forget([partition])

    async def _start_stream(self, partition: int, expected: bytes | None) -> None:
        """Starts an empty stream: the events in the log so far reach the read model by a rebuild."""
        cursor = await self._present_cursor(partition)
        started = await self._stream.reset(partition, expected, cursor.encode())
        self._forget([partition])
        if started:
            self._inspection.mark_compared(partition)

    async def _present_cursor(self, partition: int) -> Cursor:
        """Returns the cursor after all events of the log."""
        while True:
            state = await self._log.comparison.state()
            window, bounds = await self._log.summary(partition, state.snapshot)
            _, server_epoch = await self._log.current_snapshot()
            if server_epoch == state.server_epoch:  # else the snapshot is of other transactions
                break
        return Cursor(
            server_epoch=server_epoch,
            snapshot=state.snapshot,
            max_xid=window.max_xid,
            last_window=window if window.count else None,
            log=state.identity,
            bounds=bounds,
        )

    async def _append_new(self, since: Snapshot, partitions: list[int]) -> bool:
        """Appends what became visible since a snapshot of these partitions; returns whether more is left."""
        visible = await self._log.visible_since(since, partitions, MAX_APPEND_EVENTS)
        until, epoch = visible.snapshot, visible.server_epoch
        if any(self._cursors[partition][1].server_epoch != epoch for partition in partitions):
            self._inspection.expire()  # the snapshots are from before a restart
            return True
        by_partition: dict[int, list[Entry]] = defaultdict(list)
        for entry in visible.entries:
            by_partition[entry.partition].append(entry)
        planned, more = [], False
        for partition in partitions:
            entries = by_partition[partition]
            window = Window(since=since, until=until)
            if len(entries) >= MAX_APPEND_EVENTS:
                more |= await self._switch_to_paging(partition, window)
            elif entries:
                planned.append(self._plan(partition, window, entries, closed=True))
            else:
                self._seen[partition] = until
        return await self._append_all(planned) or more

    async def _switch_to_paging(self, partition: int, window: Window) -> bool:
        """Reads a window that is too long for one append in pages from now on."""
        position = await self._log.position_before(partition, window)
        raw, cursor = self._cursors[partition]
        page = msgspec.structs.replace(window, position=position)
        self._cursors[partition] = raw, cursor.advance(page, closed=False)
        return await self._append_page(partition)

    async def _append_page(self, partition: int) -> bool:
        """Appends the next page of a long window; returns whether more is left."""
        _, cursor = self._cursors[partition]
        assert cursor.page is not None
        entries = await self._log.page(partition, cursor.page, MAX_APPEND_EVENTS)
        _, server_epoch = await self._log.current_snapshot()
        if cursor.server_epoch != server_epoch:  # read after the page, or a restart could be missed
            self._inspection.expire()
            return True
        closed = len(entries) < MAX_APPEND_EVENTS
        return await self._append_all([self._plan(partition, cursor.page, entries, closed=closed)])

    def _plan(
        self, partition: int, window: Window, entries: list[Entry], *, closed: bool
    ) -> _PlannedAppend:
        raw, cursor = self._cursors[partition]
        advanced = cursor.advance(_extend(window, entries), closed=closed)
        append = StreamAppend(
            partition=partition,
            expected=raw,
            cursor=advanced.encode(),
            entries=[msgspec.json.encode(entry.envelope) for entry in entries],
        )
        return _PlannedAppend(append, advanced, entries)

    async def _append_all(self, planned: list[_PlannedAppend]) -> bool:
        """Returns whether more is left: a next page, or an append that lost its race."""
        if not planned:
            return False
        appends = [plan.append for plan in planned]
        # Until the reply is read the cursors are unknown: after a lost reply they are read again.
        self._forget(append.partition for append in appends)
        more = False
        for done, plan in zip(await self._stream.append(appends), planned, strict=True):
            if isinstance(done, Exception):
                continue
            if done:
                self._cursors[plan.append.partition] = plan.append.cursor, plan.cursor
                self._seen[plan.append.partition] = plan.cursor.snapshot
                self._count(plan.entries)
            else:
                self.lost_races += 1
            more |= not done or plan.cursor.page is not None
        return more

    def _count(self, entries: list[Entry]) -> None:
        self.appended += len(entries)
        if self._on_appended is not None:
            for entry in entries:
                self._on_appended(entry.envelope)

    def _forget(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            self._cursors.pop(partition, None)
            self._seen.pop(partition, None)


def _extend(window: Window, entries: list[Entry]) -> Window:
    """Returns the window after its next entries were appended."""
    xids = [entry.xid for entry in entries]
    return msgspec.structs.replace(
        window,
        position=max([window.position, *(entry.position for entry in entries)]),
        count=window.count + len(entries),
        checksum=window.checksum + sum(entry.checksum for entry in entries),
        max_xid=max([window.max_xid, *xids]),
        min_xid=min(filter(None, [window.min_xid, *xids]), default=0),
    )
