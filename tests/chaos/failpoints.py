"""Failpoints: named moments between two steps, at which a process dies, stands still or fails.

They sit on the seams of the real code: a method is wrapped, before or after, so the code itself knows nothing
of them. FAILPOINTS="relay.appended=kill@3,projector.read=raise" arms them in a process: at the third passage,
at the first. What no seam divides (insert and COMMIT are one statement) is held inside PostgreSQL, by a
trigger that waits, or on the wire, by the proxy's `cut_at_commit`.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from typing import Any, Literal

import asyncpg
import msgspec
from redis.asyncio import Redis

from domain.log.event_log import EventLog
from domain.log.relay_log import RelayLog
from readside.applier import EventApplier
from readside.generations.rebuild import Rebuild
from readside.generations.registry import Generations
from readside.projector.projector import Projector
from readside.redis_functions.stream import RedisStream

COMMIT = "insert into events"
"""In the one statement of the store that writes."""

BLANKED = "blanked as"
"""In it, if it erases somebody."""

Action = Literal["kill", "stop", "raise"]
"""SIGKILL to itself; SIGSTOP to itself until somebody continues it; a ConnectionError, as weather has it."""


class Seam(msgspec.Struct, frozen=True):
    """A method of a class, and the side of it on which the failpoint lies."""

    owner: type
    method: str
    side: Literal["before", "after"]
    when: Callable[..., bool] = lambda *_, **__: True
    """Of the method's arguments: which calls pass here."""
    finds: bool = False
    """Only calls that answer something count."""


def _writes(_: object, sql: str, *__: object, **___: object) -> bool:
    return COMMIT in sql


def _erases(_: object, sql: str, *__: object, **___: object) -> bool:
    return COMMIT in sql and BLANKED in sql


def _first_migration(_: object, sql: str, *__: object, **___: object) -> bool:
    return "create table users" in sql


def _noted_migration(_: object, sql: str, *__: object, **___: object) -> bool:
    return "insert into migrations" in sql


def _rebuilding(*_: object, publish: bool, **__: object) -> bool:
    return not publish


POINTS: dict[str, Seam] = {
    "store.before_commit": Seam(asyncpg.Connection, "fetch", "before", _writes),
    "store.committed": Seam(asyncpg.Connection, "fetch", "after", _writes),
    "erase.before_commit": Seam(asyncpg.Connection, "fetch", "before", _erases),
    "erase.committed": Seam(asyncpg.Connection, "fetch", "after", _erases),
    "relay.read": Seam(RelayLog, "visible_since", "after"),
    "relay.read_page": Seam(RelayLog, "page", "after"),
    "relay.before_begin": Seam(RedisStream, "reset", "before"),
    "relay.begun": Seam(RedisStream, "reset", "after"),
    "relay.appended": Seam(RedisStream, "append", "after"),
    "projector.read": Seam(Projector, "_read", "after", finds=True),
    "projector.applied": Seam(EventApplier, "apply", "after"),
    "rebuild.begun": Seam(Generations, "create", "after"),
    "rebuild.counted": Seam(EventLog, "count", "after"),
    "rebuild.paged": Seam(EventApplier, "apply", "after", _rebuilding),
    "rebuild.caught_up": Seam(Rebuild, "_is_complete", "before"),
    "rebuild.before_flip": Seam(Generations, "activate", "before"),
    "rebuild.flipped": Seam(Generations, "activate", "after"),
    "rebuild.removing": Seam(Redis, "unlink", "before"),
    "migrate.executed": Seam(asyncpg.Connection, "execute", "after", _first_migration),
    "migrate.noted": Seam(asyncpg.Connection, "execute", "after", _noted_migration),
}


def arm(text: str) -> None:
    """`name=action@passage` with commas between; the passage is 1 if it is left out."""
    for armed in filter(None, text.split(",")):
        name, _, what = armed.partition("=")
        action, _, passage = what.partition("@")
        _wrap(POINTS[name], _ACTIONS[action], int(passage or 1))


def _wrap(seam: Seam, act: Callable[[], None], passage: int) -> None:
    method = getattr(seam.owner, seam.method)
    passed = 0

    @functools.wraps(method)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal passed
        if seam.side == "before":
            passed += (here := seam.when(*args, **kwargs))
            if here and passed == passage:
                act()
            return await method(*args, **kwargs)
        result = await method(*args, **kwargs)
        passed += (here := seam.when(*args, **kwargs) and bool(result or not seam.finds))
        if here and passed == passage:
            act()
        return result

    setattr(seam.owner, seam.method, wrapped)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _raise() -> None:
    raise ConnectionError("a failpoint")


_ACTIONS: dict[str, Callable[[], None]] = {"kill": _kill, "stop": _stop, "raise": _raise}
