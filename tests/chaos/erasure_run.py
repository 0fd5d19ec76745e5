"""A short run in which people are erased of whom there is something everywhere, one of them set aside."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import msgspec

from readside.redis_functions.keys import Partition
from tests import remains
from tests.chaos.checker import Violation, check
from tests.chaos.cluster import PARTITIONS
from tests.chaos.evidence import gather
from tests.chaos.history import History
from tests.chaos.model import partition_of
from tests.chaos.verdict import at_rest, restless, settled
from tests.chaos.workload import Workload
from tests.limited import limited

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from tests.chaos.client import Client
    from tests.chaos.cluster import Cluster

WORDS = ("Wilhelmina", "Zebedee", "Quentin")
LOOKS = 8
"""After which nothing is left, once all has come to rest; the pauses between them are 2.8 s in all."""


async def erasing(cluster: Cluster, seed: int) -> list[Violation]:
    """What is left of the erased, and what the checker finds besides."""
    workload = Workload(cluster.port, History(), seed=seed, clients=0, people=0)
    await at_rest(cluster)
    client = workload.client("somebody")
    try:
        plain, aside = await _person(client, "plain"), await _person(client, "aside")
        await settled(cluster)
        await _set_aside(cluster, aside, version=6)
        for user in (plain, aside):  # of whom is set aside, this waits behind
            await client.command("renameUser", {"userId": user, "name": WORDS[2]})
            await client.command("eraseUser", {"userId": user}, f"erase {user}")
        await settled(cluster)
        return await _left(cluster, workload.history)
    except (AssertionError, TimeoutError) as error:
        return [restless(error)]
    finally:
        client.close()


async def _person(client: Client, kind: str) -> str:
    """Her id; she has had 5 events."""
    address = f"{WORDS[0]}.{kind}@example.com"
    given = {"name": WORDS[0], "email": address}
    user = (await client.command("createUser", given, f"sign up {address}")).id
    assert user is not None
    order = {"userId": user, "total": "12.50"}
    placed = await client.command("placeOrder", order, f"order {address}")
    await client.command("completeOrder", {"orderId": placed.id})
    await client.command("renameUser", {"userId": user, "name": WORDS[1]}, f"rename {address}")
    moved = {"userId": user, "email": f"{WORDS[1]}.{kind}@example.com"}
    await client.command("updateUserEmail", moved, f"move {address}")
    return user


async def _set_aside(cluster: Cluster, user: str, version: int) -> None:
    """An event comes that nobody can read, and that the log does not have: the reason has her name."""
    place = Partition(partition_of(user, PARTITIONS))
    event = {
        "user_id": user,
        "version": version,
        "type": WORDS[1],
        "schema": 1,
        "data": {"name": WORDS[1]},
        "occurred_at": "2026-03-01T12:00:00+00:00",
    }
    async with cluster.redis() as redis, limited(5):
        await redis.xadd(place.stream, {"e": msgspec.json.encode(event).decode()})
        while not (reasons := await _reasons(redis, place, user)):
            await asyncio.sleep(0.01)
    assert any(WORDS[1] in reason for reason in reasons)


async def _reasons(redis: Redis, place: Partition, user: str) -> list[str]:
    """Why she is set aside, in each generation."""
    names = [name async for name in redis.scan_iter(match=f"{place.prefix}:*:parked", count=1000)]
    found: list[Any] = [await redis.hget(name, user) for name in names]
    return [reason for reason in found if reason]


async def _left(cluster: Cluster, history: History) -> list[Violation]:
    urls = cluster.postgres.url, cluster.valkey.url
    for look in range(LOOKS):
        await asyncio.sleep(0.1 * look)
        texts = itertools.chain(*(await remains.of(WORDS, *urls)).values())
        found = [Violation("nothing-remains", text[:300]) for text in texts]
        found += check(history, await gather(*urls, PARTITIONS))
        if not found:
            break
    return found
