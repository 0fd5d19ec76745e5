"""Two services with different prefixes share one Redis; neither sees or changes keys of the other."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest
from redis.asyncio import Redis

from api.cli.checks import redis as doctor
from api.cli.open_stores import open_stores
from api.roles import namespace, read_model_fingerprint
from api.runtime import drivers
from api.settings import Settings
from domain.envelope import partition_of
from domain.users.events import UserId
from readside.generations.registry import Generations
from readside.projections import users
from readside.queries.pubsub import PubSub
from readside.queries.reader import ReadModel
from tests.acceptance.cli import tandem
from tests.acceptance.service import Client, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.stores import OwnStores

PREFIXES = ("shop", "Shop-2.eu")
PARTITIONS = 8
EMAIL = "alice@example.com"
RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }"
READ = "query($id: ID!, $v: Int) { user(id: $id, minVersion: $v) { name version } }"
LISTED = """query($email: EmailAddress!) {
    users { totalCount nodes { id name } } topCustomers { id } userByEmail(email: $email) { id name }
}"""


@pytest.fixture
def both(stores: OwnStores, redis_url: str) -> Iterator[list[Settings]]:
    """The settings of two services: a database and a prefix each, one Redis."""
    with stores.database() as first, stores.database() as second:
        yield [
            Settings(
                database_url=database,
                redis_url=redis_url.replace("unix://", f"unix://{prefix}:{prefix}@"),
                redis_prefix=prefix,
                partitions=PARTITIONS,
                read_timeout=5.0,
                rate_limit=1.0,
                rate_burst=1e6,
            )
            for prefix, database in zip(PREFIXES, (first, second), strict=True)
        ]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    """The Redis of both, in which each is a user that may use only names that begin with its prefix."""
    redis: Any
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        for prefix in PREFIXES:
            rules = (
                "reset",
                "on",
                f">{prefix}",
                "+@all",
                "-@dangerous",
                "+info",
                f"~{prefix}:*",
                f"&{prefix}:*",
            )
            await redis.execute_command("ACL", "SETUSER", prefix, *rules)
        yield redis
        await redis.acl_deluser(*PREFIXES)


class Side(msgspec.Struct):
    """One of the services, with a user called as its prefix."""

    client: Client
    user: str
    settings: Settings

    @property
    def name(self) -> str:
        return self.settings.redis_prefix

    @property
    def partition(self) -> int:
        return partition_of(UserId(UUID(self.user)), PARTITIONS)

    async def rename(self, name: str) -> int:
        """The version after it."""
        answer = await self.client.data(RENAME, input={"userId": self.user, "name": name})
        version: int = answer["renameUser"]["version"]
        return version

    async def assert_complete(self, version: int) -> None:
        """Its own user, of this version, is all that it answers with."""
        found = await self.client.data(READ, id=self.user, v=version)
        assert found["user"] == {"name": self.name, "version": version}
        found = await self.client.data(LISTED, email=EMAIL)
        [listed] = found["users"]["nodes"]
        assert listed == found["userByEmail"] == {"id": self.user, "name": self.name}
        assert found["topCustomers"] == [{"id": self.user}]


@asynccontextmanager
async def started(both: list[Settings]) -> AsyncIterator[list[Side]]:
    async with AsyncExitStack() as stack:
        sides = []
        for settings in both:
            client = await stack.enter_async_context(running(settings))
            user = await client.create_user(settings.redis_prefix, EMAIL)
            await client.complete_order(await client.place_order(user))
            sides.append(Side(client, user, settings))
        yield sides


async def held(redis: Any, prefix: str) -> dict[str, str]:
    """The keys of a service, as they are stored; without those that change by themselves."""
    found: dict[str, str] = {}
    async for key in redis.scan_iter(match=f"{prefix}:*", count=1000):
        if not any(part in key for part in (":owner:", ":projectors:", ":rate:")):
            found[key] = await redis.type(key)
    return found


@asynccontextmanager
async def watched(settings: Settings) -> AsyncIterator[ReadModel]:
    """What subscriptions of this service read."""
    async with (
        drivers.redis_for_pubsub(settings) as redis,
        PubSub(redis, namespace=namespace(settings)) as changes,
        drivers.connection_for_reads(settings) as link,
    ):
        yield ReadModel(
            link,
            changes,
            partitions=PARTITIONS,
            fingerprint=read_model_fingerprint(settings),
            namespace=namespace(settings),
        )


async def test_services_with_different_prefixes_share_one_redis(
    both: list[Settings], redis: Any
) -> None:
    async with started(both) as (first, second), redis.pubsub() as heard:
        await heard.psubscribe("*")
        for side in (first, second):
            await side.assert_complete(3)

        # A subscription sees the changes of its own service.
        async with watched(second.settings) as reads:
            changes = users.changes(reads, UUID(second.user))
            assert (row := await anext(changes)) is not None
            assert row.version == 3
            await first.rename("other")
            await second.rename("other")
            assert (row := await anext(changes)) is not None
            assert (row.version, row.name) == (4, "other")
            await changes.aclose()
        for side in (first, second):
            assert await side.rename(side.name) == 5
            await side.assert_complete(5)

        # All keys of one service are lost: it rebuilds them, and the other is not affected.
        before = await held(redis, first.name)
        await redis.unlink(*await held(redis, second.name))
        await first.assert_complete(5)
        await second.client.until_built()
        await second.assert_complete(5)
        assert await held(redis, first.name) == before

        # One service is rebuilt and swept: the other keeps what it has.
        before = await held(redis, second.name)
        async with open_stores(first.settings) as stores:
            for partition in {side.partition for side in (first, second)}:
                await stores.maintenance(partition).rebuild()
                place = stores.namespace.partition(partition)
                await Generations(redis, place, stores.fingerprint).remove_orphans()
                findings = await stores.verify(partition, 1.0).run()
                assert not findings.differences
                assert not await stores.parked(partition).all()
        assert await held(redis, second.name) == before
        for side in (first, second):
            await side.assert_complete(5)
            assert {one.level for one in await findings_of(side.settings)} <= {"ok", "hint"}
        said = await tandem(second.settings, "status", REDIS_PREFIX=second.name)
        assert said.status == 0, said

        # Every name in Redis is that of one of them.
        names = [*await redis.keys(), *await redis.pubsub_channels(), *await channels(heard)]
        assert {name.partition(":")[0] for name in names} == set(PREFIXES)
        assert {f"{prefix}:rate:127.0.0.1" for prefix in PREFIXES} <= set(names)
        for side in (first, second):
            place = namespace(side.settings).partition(side.partition)
            assert place.changes_channel(UUID(side.user)) in names
        libraries = {library[1] for library in await redis.function_list()}
        assert {name.rpartition("_")[0] for name in libraries} == {"shop", "shop_2_eu"}


async def findings_of(settings: Settings) -> list[Any]:
    async with drivers.redis_for_functions(settings) as redis:
        return list(await doctor.check(redis, settings))


async def channels(heard: Any) -> set[str]:
    """Those on which something was published so far."""
    found = set()
    while message := await heard.get_message(timeout=0.1):
        if message["type"] == "pmessage":
            found.add(message["channel"])
    return found
