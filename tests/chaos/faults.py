"""What can happen to a cluster, each as something that begins, lasts, and is over.

A happening leaves the cluster healed: whatever was killed runs again, whatever stood still goes on. So a
schedule may let several happen at once, but for two that meddle with the same thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Literal

import asyncpg
from redis.exceptions import RedisError

from readside.redis_functions.keys import ACTIVE_PREFIX, Keys
from tests.chaos import model, product_model
from tests.chaos.cluster import PARTITIONS
from tests.chaos.restore_rules import restored

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from tests.chaos.cluster import Cluster
    from tests.chaos.proxy import Fault
    from tests.chaos.stores import Store

Happening = Callable[["Cluster", Random], Awaitable[None]]

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError)
"""Another fault may hold the store that this one wants to meddle with."""

SLOW_COMMITS = """
    create function wait_before_commit() returns trigger language plpgsql as $$
    begin
        if new.data->>'name' like 'Slow %' then perform pg_sleep(0.5);
        elsif random() < 0.03 then perform pg_sleep(random() * 0.15); end if;
        return null;
    end $$;
    create constraint trigger slow_commits after insert on events
        deferrable initially deferred for each row execute function wait_before_commit();
"""
"""Some transactions stand between insert and COMMIT for a while, so that positions are not seen in order.

Those that name somebody 'Slow …' always do, for half a second.
"""


async def slow_commits(cluster: Cluster) -> None:
    async with cluster.database() as connection:
        await connection.execute(SLOW_COMMITS)


async def kill_api(cluster: Cluster, random: Random) -> None:
    await _kill(cluster, "api", random)


async def kill_relay(cluster: Cluster, random: Random) -> None:
    await _kill(cluster, random.choice(["relay-1", "relay-2"]), random)


async def kill_projector(cluster: Cluster, random: Random) -> None:
    await _kill(cluster, random.choice(["projector-1", "projector-2"]), random)


AT = {
    "api": ("store.before_commit", "store.committed", "erase.committed"),
    "relay": ("relay.read", "relay.appended", "relay.read_page", "relay.begun"),
    "projector": ("projector.read", "projector.applied", "rebuild.paged", "rebuild.flipped"),
}
"""Where a process may be made to kill itself, once it comes there."""


async def _kill(cluster: Cluster, name: str, random: Random) -> None:
    """From outside at any moment; the next one perhaps dies by itself, at a failpoint."""
    await cluster.kill(name)
    await asyncio.sleep(random.uniform(0.0, 0.5))
    if random.random() < 0.3:
        point = random.choice(AT[name.partition("-")[0]])
        member = cluster.start(name, f"{point}=kill@{random.randint(1, 30)}")
        member.expected_to_end = True
        with suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0.5, 2.0)):
                await member.ended()
        if member.running:
            await cluster.kill(name)
    cluster.start(name)


async def pause_relay(cluster: Cluster, random: Random) -> None:
    await _pause(cluster, random.choice(["relay-1", "relay-2"]), random)


async def pause_projector(cluster: Cluster, random: Random) -> None:
    """Also for longer than its lease, so that it is overtaken."""
    await _pause(cluster, random.choice(["projector-1", "projector-2"]), random)


async def _pause(cluster: Cluster, name: str, random: Random) -> None:
    member = cluster.members[name]
    member.pause()
    await asyncio.sleep(random.uniform(0.2, 6.0))
    member.resume()


async def kill_postgres(cluster: Cluster, random: Random) -> None:
    await cluster.postgres.kill()
    await asyncio.sleep(random.uniform(0.0, 0.5))
    await cluster.postgres.start()


async def kill_valkey(cluster: Cluster, random: Random) -> None:
    await cluster.valkey.kill()
    await asyncio.sleep(random.uniform(0.0, 0.5))
    await cluster.valkey.start()


async def kill_backend(cluster: Cluster, random: Random) -> None:
    with suppress(*AWAY):
        async with cluster.database() as connection:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'tandem' and random() < $1",
                random.uniform(0.1, 1.0),
            )


async def crash_backend(cluster: Cluster, _: Random) -> None:
    """One backend dies: PostgreSQL throws out everybody and recovers, under the same postmaster."""
    with suppress(*AWAY):
        async with cluster.database() as connection:
            pid = await connection.fetchval(
                "select pid from pg_stat_activity where application_name = 'tandem' limit 1"
            )
            if pid is not None:
                cluster.postgres.crash(pid)


async def hold_a_transaction(cluster: Cluster, random: Random) -> None:
    """Somebody else's, with a number of its own, open below all that commits meanwhile."""
    with suppress(*AWAY):
        async with cluster.database() as connection:
            await connection.execute("begin; select pg_current_xact_id()")
            await asyncio.sleep(random.uniform(0.5, 3.0))


async def cut_wires(cluster: Cluster, random: Random) -> None:
    wire = random.choice([cluster.to_postgres, cluster.to_redis])
    for _ in range(random.randint(1, 5)):
        wire.cut()
        await asyncio.sleep(random.uniform(0.0, 0.3))


async def cut_within_answers(cluster: Cluster, random: Random) -> None:
    wire = random.choice([cluster.to_postgres, cluster.to_redis])
    for _ in range(random.randint(1, 5)):
        wire.cut_after(random.randint(1, 4000))
        await asyncio.sleep(random.uniform(0.05, 0.2))


async def swallow_commits(cluster: Cluster, random: Random) -> None:
    await _each(random, cluster.to_postgres.cut_at_commit)


async def swallow_appends(cluster: Cluster, random: Random) -> None:
    await _each(random, lambda: cluster.to_redis.swallow_next("FCALL append_"))


async def swallow_applies(cluster: Cluster, random: Random) -> None:
    await _each(random, lambda: cluster.to_redis.swallow_next("FCALL apply_"))


async def truncate_answers(cluster: Cluster, random: Random) -> None:
    wire = random.choice([cluster.to_postgres, cluster.to_redis])
    await _each(random, wire.truncate_next)


async def _each(random: Random, arm: Callable[[], Fault]) -> None:
    for _ in range(random.randint(1, 8)):
        arm()
        await asyncio.sleep(random.uniform(0.0, 0.2))


async def silence_redis(cluster: Cluster, random: Random) -> None:
    await _silence(cluster, random, redis=True)


async def silence_postgres(cluster: Cluster, random: Random) -> None:
    await _silence(cluster, random, redis=False)


async def _silence(cluster: Cluster, random: Random, *, redis: bool) -> None:
    wire = cluster.to_redis if redis else cluster.to_postgres
    wire.blackhole(random.choice(["both", "answers"]))
    await asyncio.sleep(random.uniform(0.2, 3.0))
    wire.flow(drop=random.random() < 0.5)


async def half_open(cluster: Cluster, random: Random) -> None:
    wire = random.choice([cluster.to_postgres, cluster.to_redis])
    wire.half_open()
    await asyncio.sleep(random.uniform(0.2, 1.0))
    wire.flow()


async def slow_wires(cluster: Cluster, random: Random) -> None:
    wire = random.choice([cluster.to_postgres, cluster.to_redis])
    wire.delay(random.uniform(0.001, 0.05))
    await asyncio.sleep(random.uniform(0.5, 3.0))
    wire.delay(0.0)


async def flush_everything(cluster: Cluster, _: Random) -> None:
    with suppress(*AWAY):
        async with cluster.redis() as redis:
            await redis.flushall()


async def flush_functions(cluster: Cluster, random: Random) -> None:
    with suppress(*AWAY):
        async with cluster.redis() as redis:
            for _ in range(random.randint(1, 5)):
                await redis.function_flush()
                await asyncio.sleep(random.uniform(0.0, 0.1))


async def delete_a_key(cluster: Cluster, random: Random) -> None:
    """The stream, the cursor, the list of generations, a group, an index, or what belongs to one user."""
    partition = cluster.namespace.partition(random.randrange(PARTITIONS))
    with suppress(*AWAY):
        async with cluster.redis() as redis:
            fields: Any = await redis.hgetall(partition.generations)
            serving = [name for field, name in fields.items() if field.startswith(ACTIVE_PREFIX)]
            whole = [partition.stream, partition.cursor, partition.generations]
            names = [*whole, *(await _names(redis, Keys(partition, serving[0])) if serving else [])]
            if serving and random.random() < 0.2:
                await redis.xgroup_destroy(partition.stream, serving[0])
            else:
                await redis.delete(random.choice(names))


async def _names(redis: Redis, keys: Keys) -> list[str]:
    users: Any = await redis.zrange(keys.index("users"), 0, 5)
    products: Any = await redis.zrange(keys.index("products"), 0, 5)
    own = [keys.owned_key(name, user) for user in users for name in ("user", "orders", "closed")]
    own += [keys.owned_key("product", product) for product in products]
    shared = (*model.SHARED, "counters", *product_model.SHARED)
    return [*own, *map(keys.shared_key, shared)]


async def lose_unread_entries(cluster: Cluster, _: Random) -> None:
    """An operator, or a Redis that is short of memory, trims a stream that nobody has read."""
    with suppress(*AWAY):
        async with cluster.redis() as redis:
            for partition in range(PARTITIONS):
                stream = cluster.namespace.partition(partition).stream
                await redis.xtrim(stream, maxlen=0, approximate=False)


async def fail_over_redis(cluster: Cluster, random: Random) -> None:
    await _outlive(await cluster.fail_over_redis(), random)


async def fail_over_postgres(cluster: Cluster, random: Random) -> None:
    await _outlive(await cluster.fail_over_postgres(), random)


async def _outlive(old: Store, random: Random) -> None:
    """The old primary answers its connections for a while."""
    await asyncio.sleep(random.uniform(1.0, 6.0))
    await old.kill()


async def restore(cluster: Cluster, random: Random) -> None:
    """Sets the database back to a dump that is a few seconds old, into the same running server."""
    await restored(cluster, data_only=random.random() < 0.5, lost=random.uniform(1.0, 3.0))


Lane = Literal["api", "relay", "projector", "postgres", "redis", "wires"]

HAPPENINGS: dict[Happening, tuple[Lane, int]] = {
    kill_api: ("api", 6),
    kill_relay: ("relay", 6),
    kill_projector: ("projector", 6),
    kill_postgres: ("postgres", 4),
    kill_valkey: ("redis", 4),
    fail_over_postgres: ("postgres", 1),
    fail_over_redis: ("redis", 2),
    kill_backend: ("postgres", 3),
    crash_backend: ("postgres", 1),
    pause_relay: ("relay", 3),
    pause_projector: ("projector", 3),
    hold_a_transaction: ("postgres", 3),
    cut_wires: ("wires", 3),
    cut_within_answers: ("wires", 3),
    swallow_commits: ("wires", 4),
    swallow_appends: ("wires", 4),
    swallow_applies: ("wires", 4),
    truncate_answers: ("wires", 3),
    silence_redis: ("wires", 2),
    silence_postgres: ("wires", 2),
    half_open: ("wires", 2),
    slow_wires: ("wires", 2),
    flush_everything: ("redis", 2),
    flush_functions: ("redis", 2),
    delete_a_key: ("redis", 4),
    lose_unread_entries: ("redis", 2),
    restore: ("postgres", 1),
}
"""What a schedule draws from: what it meddles with, one at a time, and how often it comes."""

MORE_LANES: dict[Happening, tuple[Lane, ...]] = {restore: ("redis", "wires")}
"""What else stands still meanwhile: a relay that is cut off cannot detect anything within its time."""
