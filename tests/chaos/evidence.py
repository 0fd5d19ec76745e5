"""Everything there is once a run has come to rest: the tables of PostgreSQL and the keys of Redis."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from api.redis_url import is_cluster
from readside.projection_set import FINGERPRINT
from readside.redis_functions.keys import ACTIVE_PREFIX, TANDEM, Keys, Namespace, Partition
from tests.products.install import fingerprint as with_products
from tests.redis_cluster import client_of_cluster

if TYPE_CHECKING:
    from redis.asyncio.client import Pipeline

CHUNK = 2_000
"""Keys of one pipeline, and rows of one fetch."""

_EVENTS = """
    select user_id::text, version, type, data, occurred_at, partition, position, aggregate
    from events order by user_id, version, position
"""
_HAS_PRODUCTS = "select to_regclass('products') is not null"
_COMMANDS = "select encode(key, 'hex') as key, id, user_id, version from commands"

# Two index ranges for each partition, however long the log is. A log restored from a dump holds numbers that
# this server has not reached yet: those came by a rebuild.
_NOT_CARRIED = """
    select p.number as partition,
           (select count(*) from events e where e.partition = p.number
            and e.xid >= pg_snapshot_xmax(p.carried) and e.xid < pg_snapshot_xmax(pg_current_snapshot()))
         + (select count(*) from events e where e.partition = p.number
            and e.xid = any(array(select pg_snapshot_xip(p.carried)))) as events
    from unnest($1::smallint[], $2::text[]::pg_snapshot[]) as p (number, carried)
"""


class Logged(msgspec.Struct, frozen=True):
    """A row of `events`."""

    user: str
    version: int
    type: str
    data: dict[str, Any]
    at: datetime
    partition: int
    position: int
    aggregate: str = "user"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    events: list[Logged]
    """By user and version."""
    users: dict[str, dict[str, Any]]
    orders: dict[str, dict[str, Any]]
    commands: dict[str, dict[str, Any]]
    """Rows by id, or by the hexadecimal SHA-256 of the key."""
    partitions: int
    keys: dict[str, Any]
    """Every key of Tandem in Redis, with its value; of a stream its length."""
    groups: dict[int, list[dict[str, Any]]]
    """The consumer groups of each partition's stream."""
    products: dict[str, dict[str, Any]] | None = None
    """Rows by id; None in a service without them."""
    namespace: Namespace = TANDEM

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.partitions, products=self.products is not None)

    def serving(self, partition: int) -> Keys | None:
        """The generation that answers for a partition."""
        place = self.namespace.partition(partition)
        name = self.keys.get(place.generations, {}).get(f"{ACTIVE_PREFIX}{self.fingerprint}")
        return None if name is None else Keys(place, name)


def fingerprint(partitions: int, *, products: bool = False) -> str:
    """Of this code's read models, as the composition root has it."""
    return f"{with_products() if products else FINGERPRINT}-{partitions}"


def namespace_at(redis_url: str) -> Namespace:
    """Of a service without a prefix on this server or cluster."""
    return Namespace(spread=is_cluster(redis_url))


def client_at(redis_url: str) -> Redis:
    """A client of a server or of a cluster; it decodes replies."""
    if is_cluster(redis_url):
        return client_of_cluster(redis_url)
    return Redis.from_url(redis_url, decode_responses=True)


async def gather(database_url: str, redis_url: str, partitions: int) -> Evidence:
    """Reads all of it. Nobody should be writing meanwhile.

    The tables are seen as of one instant all the same: what is unknown may still commit.
    """
    with collecting_nothing():
        return await _gather(database_url, redis_url, partitions)


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """A million objects are made, and all are kept: looking for garbage among them only takes time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


async def _gather(database_url: str, redis_url: str, partitions: int) -> Evidence:
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            events = [
                Logged(row[0], row[1], row[2], msgspec.json.decode(row[3]), *row[4:])
                async for row in connection.cursor(_EVENTS, prefetch=CHUNK)
            ]
            users = await _rows(connection, "select * from users", "id")
            orders = await _rows(connection, "select * from orders", "id")
            commands = await _rows(connection, _COMMANDS, "key")
            products = None
            if await connection.fetchval(_HAS_PRODUCTS):
                products = await _rows(connection, "select * from products", "id")
    finally:
        await connection.close()
    namespace = namespace_at(redis_url)
    async with client_at(redis_url) as redis:
        keys = {key: value async for key, value in _values(redis)}
        groups = {
            number: await _groups(redis, namespace.partition(number).stream)
            for number in range(partitions)
        }
    return Evidence(
        events=events,
        users=users,
        orders=orders,
        commands=commands,
        products=products,
        partitions=partitions,
        keys=keys,
        groups=groups,
        namespace=namespace,
    )


async def _rows(
    connection: asyncpg.Connection, statement: str, key: str
) -> dict[str, dict[str, Any]]:
    return {str(row[key]): dict(row) async for row in connection.cursor(statement, prefetch=CHUNK)}


async def _values(redis: Redis) -> AsyncIterator[tuple[str, Any]]:
    for kind, ask in KINDS.items():  # asking each key of which kind it is would take twice as long
        scan = redis.scan_iter(match="tandem:*", count=CHUNK, _type=kind)
        names = sorted({key async for key in scan})
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            pipeline = redis.pipeline(transaction=False)
            for name in chunk:
                ask(pipeline, name)
            for name, value in zip(chunk, await pipeline.execute(), strict=True):
                yield name, READ[kind](value) if kind in READ else value


KINDS: dict[str, Callable[[Pipeline, str], object]] = {
    "hash": lambda pipeline, name: pipeline.hgetall(name),
    "zset": lambda pipeline, name: pipeline.zrange(name, 0, -1, withscores=True),
    "set": lambda pipeline, name: pipeline.smembers(name),
    "list": lambda pipeline, name: pipeline.lrange(name, 0, -1),
    "stream": lambda pipeline, name: pipeline.xlen(name),
    "string": lambda pipeline, name: pipeline.get(name),
}
"""How a key of each kind is read."""

READ: dict[str, Callable[[Any], Any]] = {
    "zset": dict,
    "list": lambda entries: [msgspec.json.decode(entry) for entry in entries],
}
"""What is made of the replies of some kinds."""


async def _groups(redis: Redis, stream: str) -> list[dict[str, Any]]:
    if not await redis.exists(stream):
        return []
    groups: list[dict[str, Any]] = await redis.xinfo_groups(stream)
    last = (await redis.xinfo_stream(stream))["last-generated-id"]
    return [{**group, "unread": group["last-delivered-id"] != last} for group in groups]


class Progress(msgspec.Struct, frozen=True):
    """What Redis says of one partition, read in this order."""

    cursor: str | None
    generations: dict[str, str]
    groups: list[dict[str, Any]]
    last: str
    """The entry that was added last, whether or not it is still there."""

    def phrase(self, fingerprint: str) -> str | None:
        """What is still to be done in Redis."""
        if self.cursor is None:
            return "there is no cursor"
        if msgspec.json.decode(self.cursor)["page"] is not None:
            return "the relay is within a window"
        serving = self.generations.get(f"{ACTIVE_PREFIX}{fingerprint}", "")
        if self.generations.get(serving) != "live":
            return "nothing serves"
        mine = [group for group in self.groups if group["name"] == serving]
        if not mine:
            return "the serving generation has no group"
        if mine[0]["last-delivered-id"] != self.last or mine[0]["pending"]:
            return "entries of the stream are not applied"
        return None

    def moved(self) -> object:
        """Not the cursor, which goes on with every transaction of anybody."""
        read = [
            (group["name"], group["last-delivered-id"], group["pending"]) for group in self.groups
        ]
        return self.last, sorted(self.generations.items()), read

    def carried(self) -> str:
        """The snapshot in which everything has been appended, as PostgreSQL writes it.

        No transaction above `top` has been appended: a server that crashed may hand out the numbers between
        that and the snapshot's end again.
        """
        cursor = msgspec.json.decode(self.cursor or "")
        end = min(cursor["snapshot"]["xmax"], cursor["top"] + 1)
        running = [xid for xid in cursor["snapshot"]["running"] if xid < end]
        return f"{min([*running, end])}:{end}:{','.join(map(str, running))}"


class Standing(msgspec.Struct, frozen=True):
    """How far the events are on their way from the log to the read model."""

    behind: str | None
    """What is still under way, in one phrase; None if nothing is."""
    moved: list[object]
    """What changes whenever an event or a generation moves on, and at no other time."""


async def behind(database_url: str, redis_url: str, partitions: int) -> str | None:
    """What is still under way between the log and the read model, in one phrase; None if nothing is."""
    async with looks(database_url, redis_url, partitions) as look:
        return (await look()).behind


@asynccontextmanager
async def looks(
    database_url: str, redis_url: str, partitions: int
) -> AsyncIterator[Callable[[], Awaitable[Standing]]]:
    """Yields a function that looks at cursors and groups only, for it is the checker that judges.

    Its connections stay open. Redis is asked first, so that what commits meanwhile counts as not carried.
    """
    places = [namespace_at(redis_url).partition(number) for number in range(partitions)]
    async with client_at(redis_url) as redis:
        connection = await asyncpg.connect(database_url)
        try:
            ours = fingerprint(partitions, products=await connection.fetchval(_HAS_PRODUCTS))

            async def look() -> Standing:
                found = [await _progress(redis, place) for place in places]
                phrases = (
                    f"partition {n}: {phrase}"
                    for n, one in enumerate(found)
                    if (phrase := one.phrase(ours))
                )
                phrase = next(phrases, None) or await _not_carried(connection, found)
                return Standing(phrase, [phrase, *(one.moved() for one in found)])

            yield look
        finally:
            await connection.close()


async def _not_carried(connection: asyncpg.Connection, found: list[Progress]) -> str | None:
    """How many events are in the log alone, in one phrase; None if none are."""
    snapshots = [progress.carried() for progress in found]
    rows = await connection.fetch(_NOT_CARRIED, range(len(found)), snapshots)
    for number, left in rows:
        if left:
            return f"partition {number}: {left} events are not in the stream"
    return None


async def _progress(redis: Redis, keys: Partition) -> Progress:
    pipeline = redis.pipeline(transaction=False)
    pipeline.get(keys.cursor)
    pipeline.hgetall(keys.generations)
    pipeline.xinfo_groups(keys.stream)
    pipeline.xinfo_stream(keys.stream)
    cursor, generations, groups, stream = await pipeline.execute(raise_on_error=False)
    if isinstance(groups, ResponseError) or isinstance(stream, ResponseError):
        return Progress(cursor, generations, [], "")  # there is no stream
    return Progress(cursor, generations, groups, stream["last-generated-id"])
