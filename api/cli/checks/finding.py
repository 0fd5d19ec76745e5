"""What a look came to."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Literal

import asyncpg
import msgspec
from redis.exceptions import NoPermissionError, ResponseError

from api.server_urls import reason

Level = Literal["ok", "hint", "wrong"]

CLOCK_SKEW_SECONDS = 2.0
"""Seconds by which clocks may differ without a word."""


class Finding(msgspec.Struct, frozen=True):
    """`says` is what is there, or for a hint or something wrong what to do about it."""

    what: str
    level: Level
    says: str


def ok(what: str, says: str) -> Finding:
    return Finding(what, "ok", says)


def hint(what: str, says: str) -> Finding:
    return Finding(what, "hint", says)


def wrong(what: str, says: str) -> Finding:
    return Finding(what, "wrong", says)


async def unless_denied(what: str, remedy: str, looking: Awaitable[list[Finding]]) -> list[Finding]:
    """Returns what a check finds, or that this user may not look there; then the others go on."""
    try:
        return await looking
    except (asyncpg.InsufficientPrivilegeError, ResponseError) as error:
        if isinstance(error, ResponseError) and not _is_denied(error):
            raise
        return [hint(what, f"Not checked: this user may not look ({reason(error)}); {remedy}.")]


def _is_denied(error: ResponseError) -> bool:
    """Returns whether Redis refused a command to this user, or to a function that this user called."""
    return isinstance(error, NoPermissionError) or str(error).startswith("ACL failure")


def clock(what: str, theirs: datetime) -> Finding:
    """Nothing but the order of "newest first" and what people read depends on clocks."""
    apart = (datetime.now(UTC) - theirs).total_seconds()
    if abs(apart) <= CLOCK_SKEW_SECONDS:
        return ok(what, f"{apart:+.2f} s to ours")
    return hint(
        what, f"It differs by {apart:+.1f} s from ours; let both machines follow one time server."
    )
