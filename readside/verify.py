"""Does the read model hold what the log says? Asked while both are in use, and without false alarms.

Redis tells what it holds together with the version that the user has there, so it is compared with the log up
to that version, and what is on its way is no difference. Whoever does not agree is looked at again, for as
long as it may be on its way; so what is found has stayed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from domain.events import UserId
from readside.agreed import Agreed
from readside.compare import Aside, Comparison, Found
from readside.expected import Difference
from readside.functions import Functions
from readside.generations import Generations
from readside.history import History
from readside.keys import TANDEM, Keys, Namespace
from readside.look import Looks, Turned
from readside.strays import Strays
from readside.tide import POLL, Tide

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from readside.gate import Project

PAGE = 200
"""Users in memory at a time, but for those who do not agree."""

_TURNS = 5
"""How often a generation may give place to another while we look at it."""

Told = Callable[[int], None]


class NotServing(Exception):
    """There is no read model to be looked at; str() is one sentence."""

    def __init__(self, partition: int) -> None:
        super().__init__(
            f"Partition {partition} has no read model that serves; is `tandem projector` running?"
        )


class Findings(msgspec.Struct, kw_only=True):
    """About one partition."""

    users: int = 0
    differences: list[Difference] = []
    aside: list[Aside] = []


class Verify:
    """Compares one partition. Raises what the drivers raise, NotServing, and Unknown."""

    def __init__(
        self,
        redis: Redis,
        history: History,
        partition: int,
        *,
        projections: tuple[Project, ...],
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
        self._functions = Functions(redis, namespace)

    async def run(self, told: Told = lambda _: None) -> Findings:
        """Everything; `told` is called with how many users have been compared."""
        return await self._unturned(lambda keys, looks: self._everything(keys, looks, told))

    async def of_user(self, user_id: UserId) -> Findings:
        """One user only."""
        return await self._unturned(lambda keys, looks: self._one(keys, looks, user_id))

    async def _unturned(self, look: Callable[[Keys, Looks], Any]) -> Findings:
        for _ in range(_TURNS):
            keys = await self._serving()
            try:
                findings: Findings = await look(
                    keys, Looks(self._functions, keys, self._fingerprint)
                )
            except Turned:
                continue
            return findings
        raise NotServing(self._partition.number)

    async def _serving(self) -> Keys:
        generations = Generations(self._redis, self._partition, self._fingerprint)
        give_up = time.monotonic() + self._patience
        while True:
            keys = await generations.serving()
            if keys is not None:
                return keys
            if time.monotonic() > give_up:
                raise NotServing(self._partition.number)
            await asyncio.sleep(POLL)

    async def _everything(self, keys: Keys, looks: Looks, told: Told) -> Findings:
        findings = Findings()
        tide, strays = Tide(self._redis, keys), Strays(self._redis, looks, keys)
        compare = Comparison(keys, looks, self._history, self._projections)
        await tide.mark()
        agreed = Agreed()
        usual, doubtful = await self._all_users(keys, compare, findings, agreed, told)
        async for batch in strays.keys_of_users():
            _add(doubtful, await self._unusual(keys, batch, usual))
        await self._all_members(strays, compare, agreed, doubtful)
        deadline = time.monotonic() + self._patience
        await self._settle(compare, doubtful, findings, deadline)
        findings.differences += [*strays.nobodys, *await strays.sizes()]
        findings.differences += await tide.differences(deadline)
        return findings

    async def _one(self, keys: Keys, looks: Looks, user_id: UserId) -> Findings:
        findings = Findings(users=1)
        compare = Comparison(keys, looks, self._history, self._projections)
        deadline = time.monotonic() + self._patience
        await self._settle(compare, {user_id: {}}, findings, deadline)
        return findings

    async def _all_users(
        self,
        keys: Keys,
        compare: Comparison,
        findings: Findings,
        agreed: Agreed,
        told: Told,
    ) -> tuple[set[str], Found]:
        """The names of the keys that every user's first event writes, and those who do not agree."""
        doubtful: Found = {}
        usual: set[str] | None = None
        async for page in self._history.users(keys.partition.number, PAGE):
            expected = await compare.expected({user: {} for user in page})
            for one in filter(lambda one: one.version, expected.values()):
                usual = one.own if usual is None else usual & one.own
            doubtful |= {user: {} for user in await compare.wrong(expected, agreed)}
            findings.users += len(page)
            told(findings.users)
        return usual or set(), doubtful

    async def _unusual(
        self, keys: Keys, batch: Mapping[UserId, set[str]], usual: set[str]
    ) -> Found:
        """Keys of users whom the log does not know, and keys that the first event does not write."""
        known = await self._history.known(list(batch))
        found: Found = {}
        for user, names in batch.items():
            sure = {keys.of_user(kind, user) for kind in usual} if user in known else set()
            if odd := names - sure:
                found[user] = {(name, ""): "" for name in odd}
        return found

    async def _all_members(
        self, strays: Strays, compare: Comparison, agreed: Agreed, doubtful: Found
    ) -> None:
        """Adds those in whose name something is in a shared key that should not be there."""
        async for found in strays.members(agreed):
            wrong = await compare.wrong(await compare.expected(found))
            _add(doubtful, {user: found[user] for user in wrong})

    async def _settle(
        self, compare: Comparison, doubtful: Found, findings: Findings, deadline: float
    ) -> None:
        """Looks again at whoever did not agree, and notes what stays."""
        for page in _pages(doubtful):
            wrong = await compare.wrong(await compare.expected(page))
            while any(one.under_way for one in wrong.values()) and time.monotonic() < deadline:
                await asyncio.sleep(POLL)
                left = {user: page[user] for user in wrong}
                wrong = await compare.wrong(await compare.expected(left))
            for verdict in wrong.values():
                findings.differences += verdict.differences
                findings.aside += [verdict.aside] if verdict.aside else []


def _add(doubtful: Found, more: Found) -> None:
    for user, places in more.items():
        doubtful.setdefault(user, {}).update(places)


def _pages(users: Found) -> Iterator[Found]:
    items = list(users.items())
    for start in range(0, len(items), PAGE):
        yield dict(items[start : start + PAGE])
