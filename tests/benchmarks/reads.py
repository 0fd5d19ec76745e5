"""What a read costs in the process that asks, from the call of a fetch to its rows: CPU, not time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import uvloop

from api.roles import read_model_fingerprint
from api.runtime import drivers
from api.settings import Settings
from readside.projections import user_list, users
from readside.queries.page_request import PageRequest
from readside.queries.pubsub import PubSub
from readside.queries.reader import ReadModel
from tests.benchmarks import history
from tests.benchmarks.figures import Figure
from tests.benchmarks.services import tandem_serve
from tests.benchmarks.wire import connections

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.benchmarks.bench import Bench

USERS = 2_000
AT_ONCE = 32
PAGE = 20
TURNS = 200
ROUNDS = 5
QUESTION = msgspec.json.encode({"query": "{ users(first: 1) { totalCount } }"})


async def reads(bench: Bench) -> None:
    place = bench.directory / "reads"
    place.mkdir()
    async with tandem_serve(place) as service:
        assert service.stores is not None
        stores = service.stores
        async with (
            bench.step(f"writing {USERS:,} users"),
            history.migrated(stores.database_url) as connection,
        ):
            await history.write(connection, USERS * history.EACH)
        await _arrived(service.url)
        async with bench.step("reading them"):
            bench.found.figures += await asyncio.to_thread(uvloop.run, _figures(stores.redis_url))


async def _arrived(url: str) -> None:
    async with connections(url, 1) as (connection,):
        while f'"totalCount":{USERS}'.encode() not in await connection.post(QUESTION):
            await asyncio.sleep(0.05)


async def _figures(redis_url: str) -> list[Figure]:
    settings = Settings(redis_url=redis_url, partitions=history.PARTITIONS)
    async with (
        drivers.redis_for_pubsub(settings) as listening,
        PubSub(listening) as changes,
        drivers.connection_for_reads(settings) as link,
    ):
        reads = ReadModel(
            link,
            changes,
            partitions=history.PARTITIONS,
            fingerprint=read_model_fingerprint(settings),
        )
        someone = UUID(str(next(iter((await user_list.page(reads, PageRequest(1))).ids))))
        return [
            await _figure("a user by id", lambda: users.fetch(reads, someone)),
            await _figure(f"a page of {PAGE} users", lambda: _page(reads)),
        ]


async def _page(reads: ReadModel) -> None:
    page = await user_list.page(reads, PageRequest(PAGE))
    assert len(await users.fetch_many(reads, page.ids)) == PAGE


async def _figure(name: str, read: Callable[[], Awaitable[object]]) -> Figure:
    """The cheapest of a few rounds, since whatever makes one dearer is the machine's doing."""
    rounds = [await _round(read) for _ in range(ROUNDS)]
    return Figure(name=f"{name}, {AT_ONCE} at once", value=min(rounds), unit="us of CPU")


async def _round(read: Callable[[], Awaitable[object]]) -> float:
    """Microseconds of CPU of this thread for one read, where so many always read at once."""

    async def again_and_again() -> None:
        for _ in range(TURNS):
            await read()

    began = time.thread_time()
    await asyncio.gather(*(again_and_again() for _ in range(AT_ONCE)))
    return (time.thread_time() - began) / (TURNS * AT_ONCE) * 1e6
