"""Does the read model hold what the log says? Asked while both are in use, and without false alarms.

A first pass projects the users of the log, page by page, into scratch generations and has Redis compare them
with the generation that serves. A second pass looks for what no event has written. Users who are doubtful
then are examined exactly, again and again for as long as it may be on its way; so what is found has stayed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from domain.users.events import UserId
from readside.admin.parked import ParkedUser
from readside.errors import NotServing
from readside.event_source import EventSource
from readside.generations.registry import Generations
from readside.redis_functions.functions import GenerationGone
from readside.redis_functions.keys import TANDEM, Keys, Namespace
from readside.verify.difference import Difference
from readside.verify.examination import UserVerdict, UserVerification
from readside.verify.orphans import Found, Orphans
from readside.verify.sides import ComparedGenerations
from readside.verify.snapshot import GenerationChanged
from readside.verify.stream_progress import POLL, StreamProgress
from readside.verify.survey import BulkVerification

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from readside.projection import Projection

PAGE = 200
"""Users of one page of the first pass."""

_MAX_GENERATION_CHANGES = 5
"""How often a generation may give place to another while we look at it."""

Told = Callable[[int], None]


class NoSuchUser(Exception):
    """The log has no event of the user; str() is one sentence."""

    def __init__(self, user_id: UserId) -> None:
        super().__init__(
            f"The event log has no user {user_id}; check the id, or leave out --user to compare everything."
        )


class VerifyResult(msgspec.Struct, kw_only=True):
    """About one partition."""

    users: int = 0
    differences: list[Difference] = []
    aside: list[ParkedUser] = []


class Verify:
    """Compares one partition. Raises what the drivers raise, NotServing and NoSuchUser."""

    def __init__(
        self,
        redis: Redis,
        history: EventSource,
        partition: int,
        *,
        projections: tuple[Projection, ...],
        fingerprint: str,
        patience: float = 5.0,
        namespace: Namespace = TANDEM,
    ) -> None:
        """`redis` decodes replies; `patience`: seconds for what is on its way to arrive."""
        self._redis = redis
        self._history = history
        self._partition = namespace.partition(partition)
        self._projections = projections
        self._fingerprint = fingerprint
        self._patience = patience

    async def run(self, told: Told = lambda _: None) -> VerifyResult:
        """Everything; `told` is called with how many users have been compared."""
        return await self._unturned(lambda sides: self._everything(sides, told))

    async def of_user(self, user_id: UserId) -> VerifyResult:
        """One user only."""
        if not await self._history.existing_users([user_id]):
            raise NoSuchUser(user_id)
        return await self._unturned(lambda sides: self._one(sides, user_id))

    async def _unturned(
        self, compare: Callable[[ComparedGenerations], Awaitable[VerifyResult]]
    ) -> VerifyResult:
        """Begins again if another generation serves meanwhile, or a scratch generation has expired."""
        for _ in range(_MAX_GENERATION_CHANGES):
            keys = await self._serving()
            sides = ComparedGenerations(
                self._redis, self._history, keys, self._projections, self._fingerprint
            )
            try:
                return await compare(sides)
            except (GenerationChanged, GenerationGone):
                continue
        raise NotServing(self._partition.number)

    async def _serving(self) -> Keys:
        generations = Generations(self._redis, self._partition, self._fingerprint)
        give_up = time.monotonic() + self._patience
        while True:
            keys = await generations.active()
            if keys is not None:
                return keys
            if time.monotonic() > give_up:
                raise NotServing(self._partition.number)
            await asyncio.sleep(POLL)

    async def _everything(self, sides: ComparedGenerations, told: Told) -> VerifyResult:
        tide, strays, survey = (
            StreamProgress(self._redis, sides.keys),
            Orphans(sides),
            BulkVerification(sides),
        )
        await tide.mark()
        async for page in self._history.users(sides.keys.partition.number, PAGE):
            await survey.page(page)
            told(survey.users)
        doubtful: Found = {user: set() for user in survey.doubtful}
        async for odd in strays.keys_of_users(survey.usual or set()):
            _add(doubtful, odd)
        async for found in strays.members(survey.agreed):
            _add(doubtful, found)
        deadline = time.monotonic() + self._patience
        examinations = [
            (UserVerification(sides, user, places), survey.doubtful.get(user, 0))
            for user, places in doubtful.items()
        ]
        findings = VerifyResult(users=survey.users)
        _note(findings, await self._settled(examinations, deadline))
        findings.differences += [*strays.nobodys, *await strays.sizes()]
        findings.differences += await tide.differences(deadline)
        return findings

    async def _one(self, sides: ComparedGenerations, user_id: UserId) -> VerifyResult:
        findings = VerifyResult(users=1)
        deadline = time.monotonic() + self._patience
        examinations = [(UserVerification(sides, user_id), 0)]
        _note(findings, await self._settled(examinations, deadline, members=True))
        return findings

    async def _settled(
        self,
        doubtful: list[tuple[UserVerification, int]],
        deadline: float,
        *,
        members: bool = False,
    ) -> list[UserVerdict]:
        """The verdicts once nothing is under way any more, or there is no more time."""
        settled = []
        while doubtful:
            left = []
            for examination, last in doubtful:
                verdict = await examination.verdict(last, members=members)
                if verdict.under_way and time.monotonic() < deadline:
                    left.append((examination, verdict.last))
                else:
                    settled.append(verdict)
            doubtful = left
            if doubtful:
                await asyncio.sleep(POLL)
        return settled


def _add(doubtful: Found, more: Found) -> None:
    for user, places in more.items():
        doubtful.setdefault(user, set()).update(places)


def _note(findings: VerifyResult, verdicts: list[UserVerdict]) -> None:
    for verdict in verdicts:
        findings.differences += verdict.differences
        findings.aside += [verdict.aside] if verdict.aside else []
