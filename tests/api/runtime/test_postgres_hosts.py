"""Several hosts in DATABASE_URL, of which the first accepts connections and never replies."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from api.runtime import drivers
from api.settings import Settings
from tests.stores import fast_temp


class SilentHost:
    """A server that never replies."""

    def __init__(self, sockets: str) -> None:
        self.sockets = sockets
        self.connected = 0
        self.writers: list[asyncio.StreamWriter] = []

    def accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        self.writers.append(writer)


@pytest.fixture
async def silent() -> AsyncIterator[SilentHost]:
    with tempfile.TemporaryDirectory(prefix="tandem-silent-", dir=fast_temp()) as sockets:
        host = SilentHost(sockets)
        path = Path(sockets) / ".s.PGSQL.5432"
        server = await asyncio.start_unix_server(host.accept, path)
        yield host
        server.close()
        for writer in host.writers:
            writer.close()
        await server.wait_closed()
        await asyncio.sleep(0)  # closes the transports


@pytest.fixture
def settings(silent: SilentHost, database_url: str) -> Settings:
    return Settings(database_url=database_url.replace("host=", f"host={silent.sockets},"))


async def test_the_next_host_is_used_in_time_for_a_command_and_first_from_then_on(
    settings: Settings, silent: SilentHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "_HOST_TIMEOUT_SECONDS", 0.2)
    async with (
        drivers.database(settings) as pool,
        pool.acquire(timeout=5) as one,
        pool.acquire(timeout=5) as other,
    ):
        assert await one.fetchval("select 1") == await other.fetchval("select 1") == 1
    assert silent.connected == 1


async def test_a_caller_that_waits_less_than_the_time_limit_of_a_host_gets_the_next_host_then(
    settings: Settings, silent: SilentHost
) -> None:
    async with drivers.database(settings) as pool:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await pool.fetchval("select 1")
        assert await pool.fetchval("select 1") == 1
    assert silent.connected == 1


async def test_an_error_that_applies_to_all_hosts_is_raised_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, silent: SilentHost
) -> None:
    monkeypatch.setattr(drivers, "_HOST_TIMEOUT_SECONDS", 0.2)
    wrong = settings.model_copy(
        update={"database_url": (settings.database_url or "").replace("tandem@", "missing@")}
    )
    async with drivers.database(wrong) as pool:
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await pool.fetchval("select 1")
    assert silent.connected == 1
