"""Waits until the read model is the log, by the checker's rules, for tests whose clients keep no history."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from tests.chaos.checker import Violation, check
from tests.chaos.evidence import Evidence, gather
from tests.chaos.history import History
from tests.limited import Limit

if TYPE_CHECKING:
    from api.settings import Settings

OF_HISTORY = {"nothing-twice"}
"""Rules that ask which commands there were."""


async def as_the_log(settings: Settings, *, within: float = 15.0) -> Evidence:
    """All there is, once tables and read model are the fold of the log; fails after `within` seconds."""
    with Limit(within) as limit:  # a driver that is cancelled halfway may swallow it
        while True:
            violations: list[Violation] = []
            with suppress(ResponseError):  # what was there when we began to look is gone
                evidence = await gather(
                    str(settings.database_url), str(settings.redis_url), settings.partitions
                )
                found = check(History(), evidence)
                violations = [one for one in found if one.rule not in OF_HISTORY]
                if not violations:
                    return evidence
            assert not limit.over, "\n".join(map(str, violations))
            await asyncio.sleep(0.02)


def mentions(evidence: Evidence, word: str) -> list[str]:
    """The keys in Redis that hold a word, in their names or values."""
    return [key for key, value in evidence.keys.items() if word in key or word in str(value)]


async def forgotten(settings: Settings, *words: str, within: float = 15.0) -> Evidence:
    """All there is, once it is as the log, and no key of any generation holds any of these words."""
    with Limit(within) as limit:
        while True:
            evidence = await as_the_log(settings, within=within)
            found = [key for word in words for key in mentions(evidence, word)]
            if not found:
                return evidence
            assert not limit.over, f"still there: {found}"
            await asyncio.sleep(0.02)
