"""The reader: never a wrong null, one pipeline per turn, and an error it can name when Redis is not there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.users.events import UserCreated, UserRenamed
from readside.errors import (
    ReadModelError,
    ReadModelOverloaded,
    ReadModelRebuilding,
    ReadModelUnavailable,
)
from readside.projection_set import FINGERPRINT
from readside.projections import orders, user_list, users, users_by_email, users_by_lifetime_value
from readside.queries.page_request import PageRequest
from readside.queries.pubsub import PubSub
from readside.queries.reader import ReadModel
from readside.redis_functions.keys import Keys, Partition
from tests.api.with_limits import with_limits
from tests.limited import limited
from tests.readside.envelopes import PARTITIONS, located, user_in
from tests.readside.harness import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from redis.asyncio import Redis

    from tests.readside.projection_harness import ProjectionHarness

ALICE, BOB = user_in(0, 0), user_in(1, 0)
CREATED = UserCreated(name="Alice", email="alice@example.com")

FETCHES: dict[str, Callable[[ReadModel], Awaitable[Any]]] = {
    "user": lambda reads: users.fetch(reads, ALICE),
    "user-in-version": lambda reads: users.fetch(reads, ALICE, min_version=1),
    "users": lambda reads: users.fetch_many(reads, located(ALICE, BOB)),
    "by-email": lambda reads: users_by_email.find(reads, "alice@example.com"),
    "page": lambda reads: user_list.page(reads, PageRequest(10)),
    "count": user_list.count,
    "customers": lambda reads: users_by_lifetime_value.top(reads, 10),
    "orders": lambda reads: orders.page(reads, ALICE, PageRequest(10)),
    "order-count": lambda reads: orders.count(reads, ALICE),
}


@pytest.mark.parametrize("fetch", FETCHES)
async def test_before_the_first_build_every_read_is_rebuilding(
    reads: ReadModel, fetch: str
) -> None:
    with pytest.raises(ReadModelRebuilding):
        await FETCHES[fetch](reads)


@pytest.mark.parametrize("fetch", FETCHES)
async def test_after_redis_was_emptied_every_read_is_rebuilding(
    harness: ProjectionHarness, fetch: str
) -> None:
    await harness.given(CREATED)
    await FETCHES[fetch](harness.reads)
    await harness.redis.flushall()
    with pytest.raises(ReadModelRebuilding):
        await FETCHES[fetch](harness.reads)


async def test_while_one_partition_is_missing_lists_are_rebuilding_and_others_are_read(
    harness: ProjectionHarness,
) -> None:
    await harness.given(CREATED)
    await harness.redis.delete(Partition(1).generations)
    with pytest.raises(ReadModelRebuilding):
        await user_list.page(harness.reads, PageRequest(10))
    assert await users.fetch(harness.reads, ALICE) is not None


async def test_readers_with_another_fingerprint_do_not_read_our_generation(
    harness: ProjectionHarness, settings: Settings, changes: PubSub
) -> None:
    await harness.given(CREATED)
    async with drivers.connection_for_reads(settings) as link:
        others = ReadModel(link, changes, partitions=PARTITIONS, fingerprint="other")
        with pytest.raises(ReadModelRebuilding):
            await users.fetch(others, ALICE)


async def test_after_an_activation_reads_use_the_new_generation(
    world: World, reads: ReadModel
) -> None:
    world.commit(ALICE, CREATED)
    await world.build()
    assert await users.fetch(reads, ALICE) is not None
    old = await world.serving()
    assert old is not None
    async with world.projector() as projector:
        await world.redis.xgroup_destroy(old.partition.stream, old.generation)
        world.commit(ALICE, UserRenamed(name="Alicia"))
        await world.settle(projector)
        await world.generations().remove(old)
    row = await users.fetch(reads, ALICE)
    assert row is not None
    assert row.name == "Alicia"


async def test_no_read_misses_a_user_while_generations_are_replaced(
    world: World, reads: ReadModel
) -> None:
    world.commit(ALICE, CREATED)
    await world.build()
    turning = True

    async def turn() -> None:
        nonlocal turning
        for _ in range(10):
            old = await world.serving()
            assert old is not None
            async with world.projector() as projector:
                await world.redis.xgroup_destroy(old.partition.stream, old.generation)
                await world.settle(projector)
            await world.generations().remove(old)
        turning = False

    async def look() -> int:
        looks = 0
        while turning:
            row = await users.fetch(reads, ALICE)
            assert row is not None
            looks += 1
        return looks

    looks, _ = await asyncio.gather(look(), turn())
    assert looks > 10


async def test_requests_of_one_turn_share_one_write(
    harness: ProjectionHarness, settings: Settings
) -> None:
    await harness.given(CREATED)
    await harness.given(UserCreated(name="Bob", email="b@example.com"), user=BOB)
    await asyncio.gather(
        *(fetch(harness.reads) for fetch in FETCHES.values())
    )  # learns the generations
    async with drivers.redis_for_monitoring(settings) as looking:
        await looking.ping()
        before = await _reads_processed(looking)
        await asyncio.gather(*(users.fetch(harness.reads, user) for user in [ALICE, BOB] * 10))
        after = await _reads_processed(looking)
    # One read of the socket for the twenty requests, and one for the second reading of the figure.
    assert after - before == 2


async def test_requests_of_one_turn_are_one_write_in_each_turn(
    harness: ProjectionHarness, settings: Settings
) -> None:
    await harness.given(CREATED)
    await users.fetch(harness.reads, ALICE)
    async with drivers.redis_for_monitoring(settings) as looking:
        await looking.ping()
        before = await _reads_processed(looking)
        for _ in range(5):
            await asyncio.gather(*(users.fetch(harness.reads, ALICE) for _ in range(20)))
        after = await _reads_processed(looking)
    assert after - before == 6


async def test_a_request_that_cannot_be_built_fails_alone(harness: ProjectionHarness) -> None:
    def stumbles(keys: Keys) -> list[bytes]:
        raise ZeroDivisionError

    async def asks() -> object:
        return await harness.reads.read(0, stumbles)

    await harness.given(CREATED)
    await users.fetch(harness.reads, ALICE)
    async with limited(5):
        found, bad = await asyncio.gather(
            users.fetch(harness.reads, ALICE), asks(), return_exceptions=True
        )
    assert isinstance(found, users.UserRow)
    assert isinstance(bad, ZeroDivisionError)


async def test_a_cancelled_read_takes_no_reply_from_others(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    leaving = asyncio.create_task(users.fetch(harness.reads, ALICE))
    staying = asyncio.create_task(users.fetch(harness.reads, ALICE))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying is not None


@pytest.mark.parametrize("fetch", FETCHES)
async def test_without_redis_every_read_is_unavailable(
    tmp_path: Path, changes: PubSub, fetch: str
) -> None:
    nowhere = Settings(redis_url=f"unix://{tmp_path}/nowhere", partitions=PARTITIONS)
    async with drivers.connection_for_reads(nowhere) as link, limited(1):
        reads = ReadModel(link, changes, partitions=PARTITIONS, fingerprint=FINGERPRINT)
        with pytest.raises(ReadModelUnavailable):
            await FETCHES[fetch](reads)


@pytest.fixture
async def silent(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a server that takes connections and says nothing."""
    connected: list[asyncio.StreamWriter] = []

    def connect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)

    server = await asyncio.start_unix_server(connect, tmp_path / "silent")
    yield f"unix://{tmp_path}/silent"
    server.close()
    for writer in connected:
        writer.close()


async def test_when_redis_does_not_reply_a_read_is_unavailable_in_time(
    silent: str, changes: PubSub
) -> None:
    settings = Settings(redis_url=silent, partitions=PARTITIONS, read_timeout=0.2)
    async with drivers.connection_for_reads(settings) as link:
        reads = ReadModel(link, changes, partitions=PARTITIONS, fingerprint=FINGERPRINT)
        async with limited(2 * 0.2 + 0.3):  # it may ask once more
            with pytest.raises(ReadModelUnavailable):
                await users.fetch(reads, ALICE)


@pytest.mark.parametrize("fetch", FETCHES)
async def test_a_replica_that_has_lost_its_master_is_unavailable(
    harness: ProjectionHarness, fetch: str
) -> None:
    await harness.given(CREATED)
    await harness.redis.config_set("replica-serve-stale-data", "no")
    await harness.redis.replicaof("127.0.0.1", "1")  # no server there: MASTERDOWN
    try:
        with pytest.raises(ReadModelUnavailable):
            await FETCHES[fetch](harness.reads)
    finally:
        await harness.redis.replicaof("NO", "ONE")
        await harness.redis.config_set("replica-serve-stale-data", "yes")
    await FETCHES[fetch](harness.reads)


async def test_a_list_is_right_when_one_of_its_partitions_has_another_generation(
    harness: ProjectionHarness,
) -> None:
    await harness.given(CREATED)
    await harness.given(UserCreated(name="Bob", email="b@example.com"), user=BOB)
    for flipped in (0, 1, 0):
        before = await user_list.page(harness.reads, PageRequest(10))
        await harness.redis.delete(
            *await harness.redis.keys(f"{harness.appliers[flipped].keys.prefix}:user*")
        )
        await harness.flip(flipped)
        assert await user_list.page(harness.reads, PageRequest(10)) == before
        rows = await users.fetch_many(harness.reads, located(ALICE, BOB))
        assert [row.name for row in rows] == ["Alice", "Bob"]


async def test_the_rows_of_a_list_are_found_though_it_was_replaced_and_removed_meanwhile(
    harness: ProjectionHarness,
) -> None:
    await harness.given(CREATED)
    await harness.given(UserCreated(name="Bob", email="b@example.com"), user=BOB)
    page = await user_list.page(harness.reads, PageRequest(10))
    for flipped in (0, 1, 0):
        await harness.redis.delete(
            *await harness.redis.keys(f"{harness.appliers[flipped].keys.prefix}:*")
        )
        await harness.flip(flipped)
        rows = await users.fetch_many(harness.reads, page.ids)
        assert sorted(row.name for row in rows) == ["Alice", "Bob"]


async def test_commands_above_the_limit_are_overload_and_the_others_are_executed(
    harness: ProjectionHarness, settings: Settings, changes: PubSub
) -> None:
    await harness.given(CREATED)
    narrow = settings.model_copy(update={"limits": with_limits(reads=4)})
    async with drivers.connection_for_reads(narrow) as link:
        reads = ReadModel(link, changes, partitions=PARTITIONS, fingerprint=FINGERPRINT)
        assert await users.fetch(reads, ALICE) is not None
        asked = [users.fetch(reads, ALICE) for _ in range(5)]
        found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in found] == [users.UserRow] * 2 + [ReadModelOverloaded] * 3


async def test_reads_continue_after_their_connections_were_cut(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    await users.fetch(harness.reads, ALICE)
    await harness.redis.client_kill_filter(_type="normal", skipme=True)
    assert await users.fetch(harness.reads, ALICE) is not None


def test_every_error_has_a_code_and_a_sentence_for_the_client() -> None:
    errors: list[ReadModelError] = [
        ReadModelRebuilding(),
        ReadModelUnavailable(),
        ReadModelOverloaded(),
    ]
    codes = ["READ_MODEL_REBUILDING", "READ_MODEL_UNAVAILABLE", "OVERLOADED"]
    assert [error.code for error in errors] == codes
    assert all(str(error).endswith(".") for error in errors)


async def _reads_processed(redis: Redis) -> int:
    """How often Valkey has read from a client's socket."""
    return int((await redis.info("stats"))["total_reads_processed"])
