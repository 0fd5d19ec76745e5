"""A dump that is restored under load, and what the history of a run proves after that.

A restore takes back what was written since the dump. So an answer to a command of that time proves nothing,
and a query shows what may be taken back, until the relay has had its time to detect the restore. What was
answered before the dump, and what is answered after that time, is judged as in any other run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tests.chaos.dumps import all_at_once, dump_of
from tests.chaos.history import Called, History, Seen, Shown, Watched
from tests.limited import Limit

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster

DETECTED_WITHIN = 5.0
"""Seconds from a restore until no query shows what was taken back."""


_ABOUT_LOST_EVENTS = {"aggregate.parked", "rebuild.failed"}
"""Errors that a projector rightly logs about events that it has read and the log has no longer."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """Three moments in seconds of the monotonic clock."""

    dumped: float
    """Before the dump was begun: it holds all that was acknowledged by then."""
    restored: float
    """After the restore: what is sent from then on is kept."""
    detected: float
    """From then on no query shows what was taken back."""


async def restored(cluster: Cluster, *, data_only: bool, lost: float) -> None:
    """Dumps the database, restores it `lost` seconds later, and returns when that must be detected."""
    url, dump = cluster.postgres.url, cluster.place / f"{len(cluster.restores)}.dump"
    dumped = time.monotonic()
    await dump_of(url, dump)
    await asyncio.sleep(lost)
    await all_at_once(url, dump, data_only=data_only)
    done = time.monotonic()
    dump.unlink()
    with Limit(DETECTED_WITHIN) as limit:
        while not limit.over:
            await asyncio.sleep(0.05)
    cluster.restores.append(Restored(dumped=dumped, restored=done, detected=time.monotonic()))


def unexplained(complaints: Iterable[str], restores: Iterable[Restored]) -> list[str]:
    """Returns the complaints without errors about lost events, from a dump to the detection of its restore.

    A complaint is a process's name, a colon, and a line of its log.
    """
    since_1970 = time.time() - time.monotonic()
    periods = [(one.dumped + since_1970, one.detected + since_1970) for one in restores]
    return [line for line in complaints if not _is_explained(line, periods)]


def _is_explained(complaint: str, periods: Iterable[tuple[float, float]]) -> bool:
    _, _, line = complaint.partition(": ")
    try:
        logged = msgspec.json.decode(line)
        is_about_lost_events = logged["event"] in _ABOUT_LOST_EVENTS
        at = datetime.fromisoformat(logged["timestamp"]).timestamp()
    except (msgspec.MsgspecError, TypeError, KeyError):
        return False
    return is_about_lost_events and any(start <= at <= end for start, end in periods)


def uncertain(history: History, restores: Iterable[Restored]) -> History:
    """Returns the history without what these restores may have taken back."""
    for one in restores:
        found = History(lossy=history.lossy)
        found.calls = [_call(call, one) for call in history.calls]
        found.reads = [_read(seen, one) for seen in history.reads]
        found.watches = [part for watched in history.watches for part in _watches(watched, one)]
        history = found
    return history


def _call(call: Called, one: Restored) -> Called:
    """It may have been carried out before the dump, between dump and restore, or after both."""
    if call.outcome != "ok" or call.ended < one.dumped or call.started > one.restored:
        return call
    return msgspec.structs.replace(call, outcome="unknown", id=None, version=None, code="")


def _read(seen: Seen, one: Restored) -> Seen:
    if seen.ended < one.dumped or seen.started > one.detected:
        return seen
    return msgspec.structs.replace(seen, rows=[], code=seen.code or "")


def _watches(watched: Watched, one: Restored) -> list[Watched]:
    """What was told before the dump, and after the restore was detected, as if by two watchers."""
    told = list(zip(watched.told, watched.times, strict=True))
    before = [(row, at) for row, at in told if at < one.dumped]
    after = [(row, at) for row, at in told if at > one.detected]
    if len(before) == len(told):
        return [watched]
    return [_part(watched, before), _part(watched, after, resubscribed=True)]


def _part(
    watched: Watched, told: list[tuple[tuple[bool, Shown], float]], *, resubscribed: bool = False
) -> Watched:
    rows = [
        (began or (resubscribed and not place), row) for place, ((began, row), _) in enumerate(told)
    ]
    return msgspec.structs.replace(watched, told=rows, times=[at for _, at in told])
