"""The services that are measured, each run as its users run it: `tandem up` and `tandem serve`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.embedded import Stores, embedded_stores
from tests.benchmarks.answering import answering
from tests.processes import HOST, TANDEM, free_port, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

A_QUERY = "{ users(first: 1) { nodes { id } } }"  # needs the whole read side, not just a listener


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service that answers at `url`; `stores` is None when they are not the benchmark's."""

    url: str
    answered_at: float = 0.0
    pids: tuple[int, ...] = ()
    store_pids: tuple[int, ...] = ()
    stores: Stores | None = None


@asynccontextmanager
async def tandem_up(data_dir: Path, log: Path) -> AsyncIterator[Service]:
    """`tandem up` with everything embedded; `answered_at` is the moment of its first answer."""
    port = free_port()
    env = {"HOST": HOST, "PORT": str(port), "DATA_DIR": str(data_dir)}
    url = f"http://{HOST}:{port}"
    async with running(TANDEM, "up", env=env, log=log) as process:
        answered_at = await answering(url, process, asked=A_QUERY, log=log)
        yield Service(url=url, answered_at=answered_at, pids=(process.pid,))


@asynccontextmanager
async def tandem_serve(directory: Path) -> AsyncIterator[Service]:
    """`tandem serve` on embedded stores that the benchmark owns, so that it can name their CPU."""
    port, log = free_port(), directory / "tandem.log"
    async with embedded_stores(directory / "data") as stores:
        store_pids = tuple(server.pid for server in stores.servers)
        env = {
            "HOST": HOST,
            "PORT": str(port),
            "DATA_DIR": str(directory / "data"),
            "DATABASE_URL": stores.database_url,
            "REDIS_URL": stores.redis_url,
        }
        url = f"http://{HOST}:{port}"
        async with running(TANDEM, "serve", env=env, log=log) as process:
            await answering(url, process, asked=A_QUERY, log=log)
            yield Service(url=url, pids=(process.pid,), store_pids=store_pids, stores=stores)
