"""A finding of a check, and what several checks have in common."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Literal, get_args

import asyncpg
import msgspec
from redis.exceptions import NoPermissionError, ResponseError

from api.server_urls import reason

Level = Literal["ok", "hint", "wrong"]

LEVELS: tuple[Level, ...] = get_args(Level)
"""The worst last."""

CLOCK_SKEW_SECONDS = 2.0
"""Difference between two clocks that is not reported."""


class Finding(msgspec.Struct, frozen=True):
    """The outcome of a check. `says` is the state, or for a hint or something wrong what to do about it."""

    what: str
    level: Level
    says: str


def ok(what: str, says: str) -> Finding:
    return Finding(what, "ok", says)


def hint(what: str, says: str) -> Finding:
    return Finding(what, "hint", says)


def wrong(what: str, says: str) -> Finding:
    return Finding(what, "wrong", says)


async def unless_denied(what: str, remedy: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    """Returns the findings of a check, or a hint if this user lacks the permission for it."""
    try:
        return await check
    except (asyncpg.InsufficientPrivilegeError, ResponseError) as error:
        if isinstance(error, ResponseError) and not _is_denied(error):
            raise
        return [hint(what, f"Not checked: permission denied ({reason(error)}); {remedy}.")]


def _is_denied(error: ResponseError) -> bool:
    """Returns whether Redis denied a command to this user, or to a function that this user called."""
    return isinstance(error, NoPermissionError) or str(error).startswith("ACL failure")


def clock(what: str, theirs: datetime) -> Finding:
    """Compares a clock with ours. Only the order "newest first" and displayed times depend on clocks."""
    skew_seconds = (datetime.now(UTC) - theirs).total_seconds()
    if abs(skew_seconds) <= CLOCK_SKEW_SECONDS:
        return ok(what, f"{skew_seconds:+.2f} s to ours")
    return hint(
        what,
        f"It differs by {skew_seconds:+.1f} s from ours; synchronise both machines with one time server.",
    )
