"""A replica of a Valkey, and failovers to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from tests.processes import HOST, free_port

if TYPE_CHECKING:
    from tests.chaos.stores import Valkey

WITHIN = 20.0
"""Seconds."""


async def follow(primary: Valkey, replica: Valkey) -> None:
    """Makes it a replica, over TCP as replicas are, and returns once it has caught up."""
    async with _to(primary) as there, _to(replica) as here:
        await _port(here)  # which it announces
        await here.replicaof(HOST, await _port(there))
        async with asyncio.timeout(WITHIN):
            while not _caught_up(await here.info("replication"), await there.info("replication")):
                await asyncio.sleep(0.02)


async def fail_over(primary: Valkey, replica: Valkey) -> None:
    """Without a loss: writes pause until the replica has them all; then the two change places."""
    async with _to(primary) as there, _to(replica) as here:
        port = await _port(here)
        await there.execute_command("FAILOVER", "TO", HOST, port)  # type: ignore[no-untyped-call]
        async with asyncio.timeout(WITHIN):
            while (await here.info("replication"))["role"] != "master":
                await asyncio.sleep(0.02)


async def promote(replica: Valkey) -> None:
    async with _to(replica) as here:
        await here.replicaof("NO", "ONE")


async def strand(server: Valkey) -> None:
    """Makes it a replica of nothing: what it has stays as it is."""
    async with _to(server) as there:
        await there.replicaof(HOST, "1")


def _to(server: Valkey) -> Redis:
    return Redis.from_url(server.url, decode_responses=True)


async def _port(redis: Redis) -> int:
    """Of TCP, on which it listens from now on."""
    found: Any = await redis.config_get("port")
    port = int(found["port"])
    if not port:
        port = free_port()
        await redis.config_set("port", port)
    return port


def _caught_up(here: Any, there: Any) -> bool:
    return bool(
        here.get("master_link_status") == "up"
        and here["slave_repl_offset"] >= there["master_repl_offset"]
    )
