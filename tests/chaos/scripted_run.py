"""A short run through every fault that a mechanism is there for, for the checker to show its teeth on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from readside.redis_functions.keys import Partition
from tests.chaos.checker import Violation
from tests.chaos.cluster import PARTITIONS
from tests.chaos.faults import slow_commits
from tests.chaos.history import History
from tests.chaos.load import PAUSE_SECONDS
from tests.chaos.stream_recorder import Tap
from tests.chaos.verdict import at_rest, restless, settled, verdict
from tests.chaos.workload import Workload
from tests.limited import limited

if TYPE_CHECKING:
    from tests.chaos.client import Client
    from tests.chaos.cluster import Cluster

Step = Callable[["Cluster", Workload], Awaitable[None]]
"""Something that happens to a cluster; the workload is at work in it, or stands still."""

PROJECTORS = ("projector-1", "projector-2")

REACHED_WITHIN = 30.0
"""Seconds until something comes that does come, however busy the machine is."""


async def gauntlet(cluster: Cluster, seed: int, *, first: tuple[Step, ...] = ()) -> list[Violation]:
    """Returns what the checker finds; it stops at the first stage that has violations.

    `first`: steps that are a stage of their own, before all others.
    """
    stages = [LOSSLESS, (repeat,), LOSSES]
    if first:
        stages.insert(0, first)
    workload = _workload(cluster, seed)
    await at_rest(cluster)
    await slow_commits(cluster)
    for steps in stages:
        try:
            found = await _judged(cluster, workload, steps)
        except (AssertionError, TimeoutError) as error:
            found = [restless(error)]
        if found:
            return found
    return []


async def undisturbed(cluster: Cluster, seed: int) -> list[Violation]:
    """What the checker finds after a run in which nothing fails."""
    workload = _workload(cluster, seed)
    await at_rest(cluster)
    async with workload.running():
        await asyncio.sleep(3.0)
    return (await verdict(cluster, workload)).violations


def _workload(cluster: Cluster, seed: int) -> Workload:
    return Workload(
        cluster.port, History(), seed=seed, clients=6, people=30, pause_seconds=PAUSE_SECONDS
    )


async def _judged(cluster: Cluster, workload: Workload, steps: tuple[Step, ...]) -> list[Violation]:
    """Returns the violations after these steps. If Redis loses nothing, every event is appended once."""
    tap = Tap(cluster) if set(steps) <= set(LOSSLESS) else None
    if tap is not None:
        await tap.open()
    for step in steps:
        await step(cluster, workload)
    await settled(cluster)
    found = [] if tap is None else await tap.close()
    return found + (await verdict(cluster, workload)).violations


async def disturb(cluster: Cluster, workload: Workload) -> None:
    """Kills, pauses and lost answers under load."""
    async with workload.running():
        await asyncio.sleep(0.5)
        # A relay stands between its reading and its append, while the other goes on.
        await cluster.restart("relay-1", "relay.read=stop@20")
        await cluster.restart("projector-1", "projector.read=kill@5")
        for _ in range(4):
            cluster.to_redis.swallow_next("FCALL append_")
            cluster.to_redis.swallow_next("FCALL apply_")
            cluster.to_postgres.cut_at_commit()
            await asyncio.sleep(0.1)
        cluster.members["relay-1"].resume()
        await _pause(cluster, PROJECTORS, 0.5)
        await _kill_itself(cluster, "api", "store.committed", passage=40)


async def _kill_itself(cluster: Cluster, name: str, point: str, *, passage: int) -> None:
    """While clients are at work; they find it again before they give up."""
    await cluster.restart(name, f"{point}=kill@{passage}")
    async with limited(REACHED_WITHIN):
        await cluster.members[name].ended()
    cluster.start(name)


async def lose_answers(cluster: Cluster, workload: Workload) -> None:
    """Of commands without a key, which nobody may send again."""
    await settled(cluster)
    client = workload.client("alone")
    for number in range(4):
        cluster.to_postgres.cut_at_commit()
        await _create(client, f"Nobody {workload.unique()}")
        cluster.to_postgres.cut_at_commit()
        await _place(client, workload, number)
    client.close()


async def _place(client: Client, workload: Workload, number: int) -> None:
    if (person := workload.known(number)) is not None:
        order = {"userId": person.id, "total": f"{workload.unique()}.00"}
        await client.command("placeOrder", order)


async def _order(workload: Workload) -> None:
    client = workload.client("orders")
    for number in range(12):
        await _place(client, workload, number)
    client.close()


async def overtake(cluster: Cluster, workload: Workload) -> None:
    """A creation stands before its COMMIT while later ones, some in its partition, are committed and sent."""
    await settled(cluster)
    slow, fast = workload.client("slow"), workload.client("fast")
    standing = asyncio.create_task(_create(slow, f"Slow {workload.unique()}"))
    async with limited(REACHED_WITHIN), cluster.database() as connection:
        while not await connection.fetchval(_STANDING):
            await asyncio.sleep(0.01)
    for _ in range(24):
        await _create(fast, f"Fast {workload.unique()}")
    await standing
    slow.close()
    fast.close()


_STANDING = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"


async def _create(client: Client, name: str) -> None:
    email = f"{name.replace(' ', '')}@example.com"
    await client.command("createUser", {"name": name, "email": email})


async def die_with_what_was_read(cluster: Cluster, workload: Workload) -> None:
    """The last event of a user, read by a projector that dies before it applies it."""
    await settled(cluster)
    client = workload.client("last words")
    await cluster.restart("projector-1", "projector.read=kill@1")
    await cluster.restart("projector-2", "projector.read=kill@1")
    await _create(client, f"Last {workload.unique()}")
    members = [cluster.members[name] for name in PROJECTORS]
    dying = [asyncio.create_task(member.ended()) for member in members]
    async with asyncio.timeout(
        REACHED_WITHIN
    ):  # the partition is free when the lease of a killed one is over
        await asyncio.wait(dying, return_when=asyncio.FIRST_COMPLETED)
    for name, member, task in zip(PROJECTORS, members, dying, strict=True):
        task.cancel()
        member.kill()
        await member.ended()
        cluster.start(name)
    client.close()


async def repeat(cluster: Cluster, workload: Workload) -> None:
    """The transport says everything twice, in another order."""
    tap = Tap(cluster)
    await tap.open()
    async with workload.running():
        await asyncio.sleep(0.3)
        await tap.repeat()
    await settled(cluster)
    await tap.close()


async def refill_begun(cluster: Cluster, workload: Workload) -> None:
    """Redis is emptied, and the projectors stand still before they fill it again."""
    await _refill(cluster, workload, "rebuild.begun")


async def refill_counted(cluster: Cluster, workload: Workload) -> None:
    """Redis is emptied, and the projectors stand still while they fill it again."""
    await _refill(cluster, workload, "rebuild.counted")


async def _refill(cluster: Cluster, workload: Workload, point: str) -> None:
    async with workload.running():
        for name in PROJECTORS:
            await cluster.restart(name, f"{point}=stop@1")
        await asyncio.sleep(0.3)
        await _empty(cluster)
        await _stand_still(cluster)
        await _order(workload)  # for the log and for the stream, whose group is there already
        await asyncio.sleep(0.5)
        cluster.heal()
        await _look(workload)


async def restart_postgres(cluster: Cluster, workload: Workload) -> None:
    """PostgreSQL is killed and started again under load."""
    async with workload.running():
        await cluster.postgres.kill()
        await cluster.postgres.start()
        await asyncio.sleep(0.3)


async def lose_an_index(cluster: Cluster, workload: Workload) -> None:
    """Redis loses the index by address, once the clients stand still."""
    async with workload.running():
        await asyncio.sleep(0.5)
    await settled(cluster)
    async with cluster.redis() as redis:
        names = [name async for name in redis.scan_iter(match="tandem:*:emails")]
        await redis.delete(*names)


async def _empty(cluster: Cluster) -> None:
    """Redis; the relays begin their streams before a projector makes a group, or it would be void at once."""
    for name in PROJECTORS:
        cluster.members[name].pause()
    async with limited(REACHED_WITHIN), cluster.redis() as redis:
        await redis.flushall()
        cursors = [Partition(partition).cursor for partition in range(PARTITIONS)]
        while await redis.exists(*cursors) < PARTITIONS:
            await asyncio.sleep(0.01)
    for name in PROJECTORS:
        cluster.members[name].resume()


async def _look(workload: Workload) -> None:
    """At what is filled again, before its sizes are compared and what was wrong with it is made good."""
    client = workload.client("looks")
    for _ in range(60):
        await client.query("users", first=100)
        await asyncio.sleep(0.02)
    client.close()


async def _stand_still(cluster: Cluster) -> None:
    """Waits until a projector has come to its failpoint; a mutant may never come there."""
    waits = [asyncio.create_task(cluster.members[name].stands_still()) for name in PROJECTORS]
    await asyncio.wait(waits, timeout=3.0, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
        with suppress(asyncio.CancelledError):
            await wait


async def _pause(cluster: Cluster, names: tuple[str, ...], seconds: float) -> None:
    for name in names:
        cluster.members[name].pause()
    await asyncio.sleep(seconds)
    for name in names:
        cluster.members[name].resume()


LOSSLESS: tuple[Step, ...] = (disturb, lose_answers, overtake, die_with_what_was_read)
"""The steps in which Redis loses nothing."""

REFILLS: tuple[Step, ...] = (refill_begun, refill_counted)

LOSSES: tuple[Step, ...] = (*REFILLS, restart_postgres, lose_an_index)
