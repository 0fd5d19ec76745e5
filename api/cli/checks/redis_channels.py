"""Checks that this user may subscribe to the channels of Redis that wake relays and readers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from redis.exceptions import NoPermissionError

from api.cli.checks.finding import Finding, hint, ok

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from readside.redis_functions.keys import Namespace

_TIMEOUT_SECONDS = 2.0
"""Time limit for the reply to a subscription."""


def _channels(names: Namespace) -> dict[str, str]:
    """Returns one channel for each pattern."""
    return {
        names.silent_channel: names.silent_channel,
        names.wake_channel: names.wake_channel,
        names.projectors("*"): names.projectors("doctor"),
        f"{names.prefix}:{{*}}:changed:*": names.partition(0).changes_channel(UUID(int=0)),
    }


async def check(redis: Redis, names: Namespace) -> list[Finding]:
    channels = _channels(names).items()
    denied = [pattern for pattern, channel in channels if await _is_denied(redis, channel)]
    if not denied:
        return [ok("channels", "this user may subscribe")]
    missing = " ".join(f"&{pattern}" for pattern in denied)
    return [
        hint(
            "channels",
            f"This user of Redis may not subscribe to {missing}, so relays, readers and projectors wait for"
            f" their next poll; allow it &{names.prefix}:* (acl setuser NAME &{names.prefix}:*) and the"
            " commands subscribe and publish.",
        )
    ]


async def _is_denied(redis: Redis, channel: str) -> bool:
    async with redis.pubsub() as pubsub:
        try:
            await pubsub.subscribe(channel)
            await pubsub.get_message(timeout=_TIMEOUT_SECONDS)
        except NoPermissionError:
            return True
    return False
