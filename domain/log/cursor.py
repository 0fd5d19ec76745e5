"""The relay's cursor: a snapshot of PostgreSQL's transactions, stored in Redis next to the stream.

Positions are assigned at insert but become visible at commit, so "the last position seen" would lose events.
The set of events that became visible between two snapshots is exact. Cursors are stored as JSON; `rename`
keeps the field names that stored cursors have.
"""

from __future__ import annotations

import msgspec

from domain.log.log_identity import LogIdentity

MAX_IN_FLIGHT_TRANSACTIONS = 1_000
"""Transactions that may have a number and not be complete: more than a server usually has connections."""


class Snapshot(msgspec.Struct, frozen=True):
    """PostgreSQL's pg_snapshot: every transaction below `xmax` has ended, except those `running`."""

    xmax: int
    running: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Returns the snapshot in PostgreSQL's text form, xmin:xmax:running,running..."""
        _, xmax, running = text.split(":")
        return cls(int(xmax), tuple(map(int, running.split(","))) if running else ())

    def __str__(self) -> str:
        xmin = self.running[0] if self.running else self.xmax
        return f"{xmin}:{self.xmax}:{','.join(map(str, self.running))}"

    def truncate(self, max_xid: int) -> Snapshot:
        """Returns the snapshot without transactions above `max_xid`."""
        xmax = min(self.xmax, max_xid + 1)
        return Snapshot(xmax, tuple(xid for xid in self.running if xid < xmax))


class Window(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"checksum": "marks", "max_xid": "top", "min_xid": "bottom"},
):
    """The events that became visible between two snapshots, up to a position."""

    since: Snapshot
    until: Snapshot
    position: int = 0
    count: int = 0
    """The number of events of the window, up to `position`, that have been appended."""
    checksum: int = 0
    """The sum of their checksums, which other events in their place would hardly have."""
    max_xid: int = 0
    """The highest transaction among them."""
    min_xid: int = 0
    """The lowest transaction among them; 0 if unknown."""

    def join(self, later: Window) -> Window:
        """Returns this window and the next one with events as one; in between no event became visible."""
        return Window(
            since=self.since,
            until=later.until,
            position=max(self.position, later.position),
            count=self.count + later.count,
            checksum=self.checksum + later.checksum,
            max_xid=max(self.max_xid, later.max_xid),
            min_xid=min(self.min_xid, later.min_xid),
        )


class Bounds(msgspec.Struct, frozen=True, rename={"highest": "position"}):
    """The highest and the lowest position that were visible in a snapshot.

    An event outside them that the snapshot shows was not written by a transaction of this server: it comes
    from a restored dump.
    """

    snapshot: Snapshot
    highest: int
    lowest: int = 0
    """0 if unknown, or if there was no event."""


class Cursor(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "server_epoch": "era",
        "max_xid": "top",
        "last_window": "last",
        "earlier_windows": "earlier",
        "bounds": "mark",
    },
):
    """The relay's progress in a partition: everything visible in `snapshot` has been appended."""

    server_epoch: str
    """Identifies the run of the PostgreSQL server that numbers the transactions of the snapshot."""
    snapshot: Snapshot
    max_xid: int = 0
    """The highest transaction of which an event has been appended."""
    page: Window | None = None
    """The next window, if it is long and being appended in pages."""
    last_window: Window | None = None
    """The last window with events. If the log no longer has them, it is not the log that was read."""
    earlier_windows: tuple[Window, ...] = ()
    """Windows before it, oldest first: a failover may have lost their events and kept later ones."""
    log: LogIdentity | None = None
    """The log that was read; None if an earlier version of the code wrote the cursor."""
    bounds: Bounds | None = None

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes | str) -> Cursor:
        return msgspec.json.decode(data, type=cls)

    @property
    def windows(self) -> list[Window]:
        """All windows that can be compared with the log."""
        windows = (*self.earlier_windows, self.last_window, self.page)
        return [window for window in windows if window is not None]

    def advance(self, window: Window, *, closed: bool) -> Cursor:
        """Returns the cursor after `window` was appended up to its position, or as a whole if closed."""
        if not closed:
            return msgspec.structs.replace(self, page=window)
        return msgspec.structs.replace(
            self,
            snapshot=window.until,
            max_xid=max(self.max_xid, window.max_xid),
            page=None,
            last_window=window if window.count else self.last_window,
            earlier_windows=self._next_earlier_windows() if window.count else self.earlier_windows,
        )

    def _next_earlier_windows(self) -> tuple[Window, ...]:
        """Returns at most two windows, each of which may join many."""
        windows = list(self.earlier_windows)
        if self.last_window is not None:
            joined = windows[1].join(self.last_window) if len(windows) > 1 else self.last_window
            windows[1:] = [joined]
        return tuple(windows)

    def without_settled_windows(self) -> Cursor:
        """Returns the cursor, once all windows have been compared, with those that need it again.

        The write-ahead log is not in the order in which commits become visible: of two commits, a failover
        may lose the one that became visible first. If it kept all of the last window, it kept what was
        visible before the first transaction of that window had a number. A snapshot ends after the last
        complete transaction, so those with a number by then are below its xmax + MAX_IN_FLIGHT_TRANSACTIONS.
        """
        if not self.earlier_windows or self.last_window is None:
            return self
        oldest, *others = self.earlier_windows
        if oldest.until.xmax + MAX_IN_FLIGHT_TRANSACTIONS > self.last_window.min_xid:
            return self
        return msgspec.structs.replace(self, earlier_windows=tuple(others))

    def after_restart(self, server_epoch: str) -> Cursor:
        """Returns the cursor for a server that has been restarted since.

        A server that crashed may assign again the numbers of transactions that left no trace in its log.
        Every transaction with appended events did leave one, so the snapshot is only valid up to there. A
        page is read again from its start; the version gate drops events that are appended twice.
        """
        bounds = self.bounds and msgspec.structs.replace(
            self.bounds, snapshot=self.bounds.snapshot.truncate(self.max_xid)
        )
        return msgspec.structs.replace(
            self,
            server_epoch=server_epoch,
            snapshot=self.snapshot.truncate(self.max_xid),
            page=None,
            bounds=bounds,
        )


def decode_cursor(raw: bytes | str | None) -> Cursor | None:
    """Returns None if there is no cursor, or another version of the code wrote it in another format."""
    try:
        return None if raw is None else Cursor.decode(raw)
    except msgspec.MsgspecError:
        return None
