"""PostgreSQL comes back as it was earlier: the read model follows it, and shows nothing that was lost."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.roles import Role
from api.settings import Settings
from tests.acceptance.service import Client, running
from tests.chaos.cluster import PARTITIONS
from tests.chaos.convergence import as_the_log, forgotten, mentions
from tests.chaos.stores import Postgres, postgres
from tests.limited import limited

RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { id version } }"
USER = "query($id: ID!, $v: Int) { user(id: $id, minVersion: $v) { name version } }"


@pytest.fixture
async def server(data_dir: Path, template: Path) -> AsyncIterator[Postgres]:
    data_dir.mkdir()
    async with postgres(data_dir / "p", template=template) as server:
        yield server


@pytest.fixture
def settings(server: Postgres, redis_url: str) -> Settings:
    return Settings(
        database_url=server.url, redis_url=redis_url, partitions=PARTITIONS, read_timeout=5.0
    )


async def back_up(server: Postgres) -> Path:
    """A copy of the data directory of a server that was stopped for it."""
    await server.stop()
    copy = server.place / "copy"
    shutil.copytree(server.data, copy)
    await server.start()
    return copy


async def restore(server: Postgres, copy: Path) -> None:
    await server.kill()
    shutil.rmtree(server.data)
    shutil.copytree(copy, server.data)
    await server.start()


async def rename(client: Client, user_id: str, name: str) -> int:
    """The version that the renaming made; tried again while PostgreSQL is not back."""
    given = {"userId": user_id, "name": name}
    async with limited(30):
        while True:
            answer: dict[str, Any] = await client.send(RENAME, input=given)
            if "errors" not in answer:
                version: int = answer["data"]["renameUser"]["version"]
                return version
            [error] = answer["errors"]
            assert error["extensions"]["code"] == "WRITE_MODEL_UNAVAILABLE"


async def test_what_was_lost_is_gone_from_every_key_while_the_service_runs_on(
    settings: Settings, server: Postgres
) -> None:
    async with running(settings) as client:
        kept = [await client.create_user(f"Kept {n}", f"kept{n}@example.com") for n in range(12)]
        copy = await back_up(server)
        for user_id in kept[:6]:
            assert await rename(client, user_id, "Lost") == 2
        lost = [await client.create_user(f"Lost {n}", f"lost{n}@example.com") for n in range(6)]
        before = await as_the_log(settings)
        assert mentions(before, lost[0])
        await restore(server, copy)
        for user_id in kept[3:9]:
            assert await rename(client, user_id, "Found") == 2
        evidence = await forgotten(settings, "Lost", "lost", *lost)
        for number, user_id in enumerate(kept):
            name = "Found" if 3 <= number < 9 else f"Kept {number}"
            assert (await client.data(USER, id=user_id))["user"]["name"] == name
        for user_id in lost:
            assert await client.data(USER, id=user_id) == {"user": None}
    assert len(evidence.users) == 12


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_what_took_the_same_places_before_anybody_looked_is_told_from_what_was_lost(
    settings: Settings, server: Postgres, lost: int
) -> None:
    """The same user, version, position and transaction number, for another event."""
    async with running(settings) as client:
        user_id = await client.create_user()
        await client.data(USER, id=user_id, v=1)
        copy = await back_up(server)
        for number in range(lost):
            assert await rename(client, user_id, f"Lost {number}") == 2 + number
        await as_the_log(settings)
    await restore(server, copy)
    async with running(settings, frozenset({Role.API})) as client:
        for number in range(lost):
            assert await rename(client, user_id, f"Found {number}") == 2 + number
    async with running(settings) as client:
        await forgotten(settings, "Lost")
        found = await client.data(USER, id=user_id, v=1 + lost)
        assert found["user"] == {"name": f"Found {lost - 1}", "version": 1 + lost}
