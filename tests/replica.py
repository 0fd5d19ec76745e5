"""A replica of a Valkey, which stops to receive what its primary applies when a test detaches it."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.embedded.valkey import binary
from tests.limited import limited
from tests.processes import HOST, free_port, running
from tests.stores import fast_temp

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

OPTIONS = {"port": "0", "save": "", "appendonly": "no", "repl-diskless-load": "disabled"}
CATCHES_UP_WITHIN = 20.0


class Replica:
    """The server at `socket`."""

    def __init__(self, primary: Redis, process: Process, socket: Path) -> None:
        self.redis = Redis(unix_socket_path=str(socket), decode_responses=True)
        self.socket = socket
        self.url = f"unix://{socket}"
        self._primary = primary
        self._process = process

    async def follow(self, *, wait: bool = True) -> None:
        """Begins, or continues, to replicate; returns once it has everything."""
        found: Any = await self._primary.config_get("port")
        port = int(found["port"]) or free_port()
        await self._primary.config_set("port", port)
        await self._primary.config_set("repl-diskless-sync-delay", 0)
        await self.redis.replicaof(HOST, str(port))
        if wait:
            await self.catch_up()

    async def catch_up(self) -> None:
        async with limited(CATCHES_UP_WITHIN):
            while not await self.has_everything():
                await asyncio.sleep(0.005)

    async def has_everything(self) -> bool:
        there: Any = await self._primary.info("replication")
        try:
            here: Any = await self.redis.info("replication")
        except RedisError:
            return False  # it loads
        up = here.get("master_link_status") == "up"
        return up and bool(here["slave_repl_offset"] >= there["master_repl_offset"])

    async def detach(self) -> None:
        """Receives nothing from now on, as over a link that is down."""
        await self.catch_up()
        await self.redis.replicaof("NO", "ONE")

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)


@asynccontextmanager
async def replica_of(primary: Redis) -> AsyncIterator[Replica]:
    """Yields a replica that has everything."""
    with tempfile.TemporaryDirectory(prefix="tandem-replica-", dir=fast_temp()) as folder:
        place = Path(folder)
        options = OPTIONS | {"unixsocket": str(place / "socket"), "dir": folder}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        async with running(binary(), *words, log=place / "log") as process:
            replica = Replica(primary, process, place / "socket")
            async with limited(CATCHES_UP_WITHIN):
                while not replica.socket.exists():
                    await asyncio.sleep(0.005)
            try:
                await replica.follow()
                yield replica
            finally:
                await replica.redis.aclose()
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                    process.kill()
