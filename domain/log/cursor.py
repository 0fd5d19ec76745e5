"""How far the relay is: a snapshot of PostgreSQL's transactions, kept in Redis beside the stream.

Positions are drawn at insert but become visible at commit, so "the last position seen" would lose events.
A snapshot does not: what became visible between two snapshots is an exact set.
"""

from __future__ import annotations

import msgspec

from domain.log.log_identity import LogIdentity

IN_FLIGHT = 1_000
"""Transactions that may have a number and not be complete: more than a server has connections, as a rule."""


class Snapshot(msgspec.Struct, frozen=True):
    """PostgreSQL's pg_snapshot: below `xmax` every transaction has ended, but for those `running`."""

    xmax: int
    running: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """From PostgreSQL's text form, xmin:xmax:running,running..."""
        _, xmax, running = text.split(":")
        return cls(int(xmax), tuple(map(int, running.split(","))) if running else ())

    def __str__(self) -> str:
        xmin = self.running[0] if self.running else self.xmax
        return f"{xmin}:{self.xmax}:{','.join(map(str, self.running))}"

    def cut(self, top: int) -> Snapshot:
        """The snapshot that knows nothing of transactions above `top`."""
        xmax = min(self.xmax, top + 1)
        return Snapshot(xmax, tuple(xid for xid in self.running if xid < xmax))


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What became visible between two snapshots, up to a position."""

    since: Snapshot
    until: Snapshot
    position: int = 0
    count: int = 0
    """How many events of the window, up to `position`, have been appended."""
    marks: int = 0
    """The sum of their marks, which tells them from other events in the same places."""
    top: int = 0
    """The highest transaction among them."""
    bottom: int = 0
    """The lowest; 0 if it is not known."""

    def joined(self, later: Window) -> Window:
        """This window and the next one that held an event, as one: between them no event became visible."""
        return Window(
            since=self.since,
            until=later.until,
            position=max(self.position, later.position),
            count=self.count + later.count,
            marks=self.marks + later.marks,
            top=max(self.top, later.top),
            bottom=min(self.bottom, later.bottom),
        )


class Mark(msgspec.Struct, frozen=True):
    """The highest and the lowest position that were visible in a snapshot.

    An event beyond them that the snapshot shows was not written by a transaction of this server's present:
    it came with a restored dump.
    """

    snapshot: Snapshot
    position: int
    lowest: int = 0
    """0 if it is not known, or there was no event."""


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Everything visible in `snapshot` has been appended; `page` is the window under way, if one is."""

    era: str
    """Which run of which PostgreSQL server numbers the transactions of the snapshot."""
    snapshot: Snapshot
    top: int = 0
    """The highest transaction of which anything has been appended."""
    page: Window | None = None
    last: Window | None = None
    """The last window that held an event: if the log no longer agrees with it, it is not the log it was."""
    earlier: tuple[Window, ...] = ()
    """Windows before it, the older first: a failover may have lost their events and kept those of `last`."""
    log: LogIdentity | None = None
    """The log that was read; None if an earlier version of the code wrote the cursor."""
    mark: Mark | None = None

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes | str) -> Cursor:
        return msgspec.json.decode(data, type=cls)

    @property
    def carried(self) -> list[Window]:
        """The windows that can be compared with the log, with the page under way."""
        return [window for window in (*self.earlier, self.last, self.page) if window is not None]

    def advanced(self, window: Window, *, closed: bool) -> Cursor:
        """The cursor after `window` was appended up to its position, or to its end if it is closed."""
        if not closed:
            return msgspec.structs.replace(self, page=window)
        return msgspec.structs.replace(
            self,
            snapshot=window.until,
            top=max(self.top, window.top),
            page=None,
            last=window if window.count else self.last,
            earlier=self._earlier() if window.count else self.earlier,
        )

    def _earlier(self) -> tuple[Window, ...]:
        """The windows that must be compared beside the next `last`: two, each of which joins many."""
        kept = list(self.earlier)
        if self.last is not None:
            kept[1:] = [kept[1].joined(self.last) if len(kept) > 1 else self.last]
        return tuple(kept)

    def compared(self) -> Cursor:
        """The cursor without the windows that need no further comparison, once all have been compared.

        The write-ahead log is not in the order in which commits become visible: of two commits, a failover
        may lose the one that became visible first. If it kept all of `last`, it kept what was visible before
        the first transaction of `last` had a number. A snapshot ends behind the last complete transaction,
        so those with a number by then are below its xmax + IN_FLIGHT.
        """
        if not self.earlier or self.last is None:
            return self
        oldest, *others = self.earlier
        if oldest.until.xmax + IN_FLIGHT > self.last.bottom:
            return self
        return msgspec.structs.replace(self, earlier=tuple(others))

    def reborn(self, era: str) -> Cursor:
        """The cursor for a server that has been restarted since.

        A server that crashed may hand out again the numbers of transactions that left no trace in its log.
        Every transaction whose events we appended did leave one, so we only trust the snapshot up to there.
        A page under way is begun again; events appended twice are dropped by the version gate.
        """
        mark = self.mark and msgspec.structs.replace(
            self.mark, snapshot=self.mark.snapshot.cut(self.top)
        )
        return msgspec.structs.replace(
            self, era=era, snapshot=self.snapshot.cut(self.top), page=None, mark=mark
        )


def decoded(raw: bytes | str | None) -> Cursor | None:
    """The cursor, or None if there is none that this code can read: another version may have written it."""
    try:
        return None if raw is None else Cursor.decode(raw)
    except msgspec.MsgspecError:
        return None
