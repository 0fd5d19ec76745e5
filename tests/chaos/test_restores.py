"""A dump is restored in each of the usual ways: the read model follows the log, running or stopped."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from api.settings import Settings
from domain.migrate import migrate
from tests.acceptance.service import Client, running
from tests.chaos.cluster import PARTITIONS
from tests.chaos.conftest import Make
from tests.chaos.convergence import forgotten
from tests.chaos.dumps import (
    data_only_after_delete,
    data_only_after_truncate,
    dump_of,
    execute,
    in_place,
    into_a_new_database,
    into_a_new_schema,
)
from tests.chaos.load import acknowledged, under_load
from tests.chaos.restore_rules import restored
from tests.chaos.test_postgres_lost_tail import USER, rename

IS_NIGHTLY = os.environ.get("TANDEM_NIGHTLY") == "1"

WAYS = {
    in_place: "running",
    data_only_after_delete: "running",
    into_a_new_database: "running",
    into_a_new_schema: "stopped",
    data_only_after_truncate: "stopped",
}
"""The ways to restore a dump, and whether the service runs meanwhile; nightly each is tried in both cases."""


def ways(service: str) -> list[Callable[[str, Path], Awaitable[None]]]:
    return [way for way, usual in WAYS.items() if IS_NIGHTLY or usual == service]


async def made_anew(url: str, _dump: Path) -> None:
    """Nothing is restored: the schema was dropped, and migrated again."""
    await execute(url, "drop schema public cascade; create schema public")
    connection = await asyncpg.connect(url)
    try:
        await migrate(connection, PARTITIONS)
    finally:
        await connection.close()


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=database_url, redis_url=redis_url, partitions=PARTITIONS, read_timeout=5.0
    )


class Told:
    """What was written before the dump and after it, and so must be there and not there."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.lost: list[str] = []

    async def before(self, client: Client) -> None:
        for number in range(12):
            address = f"kept{number}@example.com"
            self.kept.append(await client.create_user(f"Kept {number}", address))

    async def after(self, client: Client) -> None:
        for user_id in self.kept[:6]:
            assert await rename(client, user_id, "Lost") == 2
        for number in range(6):
            self.lost.append(await client.create_user(f"Lost {number}", f"lost{number}@a.example"))

    async def is_restored(self, client: Client, settings: Settings) -> None:
        for user_id in self.kept[3:9]:
            assert await rename(client, user_id, "Found") == 2
        await forgotten(settings, "Lost", "lost", *self.lost)
        for number, user_id in enumerate(self.kept):
            name = "Found" if 3 <= number < 9 else f"Kept {number}"
            found = (await client.data(USER, id=user_id, v=2 if 3 <= number < 9 else 1))["user"]
            assert found["name"] == name
        for user_id in self.lost:
            assert await client.data(USER, id=user_id) == {"user": None}


@asynccontextmanager
async def dumped(settings: Settings, place: Path) -> AsyncIterator[tuple[Client, Told, Path]]:
    """A running service whose log has gone on since the dump."""
    told, dump = Told(), place / "dump"
    async with running(settings) as client:
        await told.before(client)
        await dump_of(str(settings.database_url), dump)
        await told.after(client)
        yield client, told, dump


@pytest.mark.parametrize("way", ways("running"))
async def test_what_a_restore_took_back_is_gone_while_the_service_runs_on(
    settings: Settings, tmp_path: Path, way: Callable[[str, Path], Awaitable[None]]
) -> None:
    async with dumped(settings, tmp_path) as (client, told, dump):
        await way(str(settings.database_url), dump)
        await told.is_restored(client, settings)


@pytest.mark.parametrize("way", ways("stopped"))
async def test_what_a_restore_took_back_while_the_service_was_stopped_is_gone(
    settings: Settings, tmp_path: Path, way: Callable[[str, Path], Awaitable[None]]
) -> None:
    async with dumped(settings, tmp_path) as (_, told, dump):
        pass
    await way(str(settings.database_url), dump)
    async with running(settings) as client:
        await told.is_restored(client, settings)


async def test_a_log_that_was_made_anew_under_the_service_has_an_empty_read_model(
    settings: Settings, tmp_path: Path
) -> None:
    async with dumped(settings, tmp_path) as (client, told, dump):
        await made_anew(str(settings.database_url), dump)
        await forgotten(settings, "Lost", "Kept", *told.kept, *told.lost)
        assert await client.data("{ users { totalCount } }") == {"users": {"totalCount": 0}}
        user_id = await client.create_user()
        found: dict[str, Any] = await client.data(USER, id=user_id, v=1)
        assert found["user"]["name"] == "Alice"


@pytest.mark.parametrize("data_only", [False, True] if IS_NIGHTLY else [False])
async def test_under_load_a_restore_takes_back_what_is_newer_than_the_dump_and_nothing_else(
    make: Make, data_only: bool
) -> None:
    async with make() as cluster, under_load(cluster) as workload:
        await restored(cluster, data_only=data_only, lost=0.5)
        await acknowledged(workload, 50)
