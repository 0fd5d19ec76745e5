"""All processes are replaced one by one under load: no request fails, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from tests import forked
from tests.limited import limited
from tests.processes import HOST, ended, free_ports
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.forked import Member

CLIENTS = 6
CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { id version } }"
RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }"
READ = "query($id: ID!, $version: Int!) { user(id: $id, minVersion: $version) { name version } }"


class Deployment:
    """The processes of a service, each of which can be replaced."""

    def __init__(self, stack: AsyncExitStack, urls: dict[str, str], place: Path) -> None:
        first = free_ports(2)
        self.ports = [first, first + 1]
        self._stack, self._urls, self._place = stack, urls, place
        self._running: dict[str, Member] = {}

    @property
    def names(self) -> list[str]:
        return ["relay", "projector", *(f"api {port}" for port in self.ports)]

    async def start(self, name: str) -> None:
        role, _, port = name.partition(" ")
        env = {**self._urls, "PORT": port or "0"}
        program = forked.running(role, env=env, log=self._place / f"{name}.log")
        self._running[name] = await self._stack.enter_async_context(program)
        if port:
            await _answers(int(port))

    async def replace(self, name: str) -> None:
        """Returns when its successor works."""
        self._running[name].send_signal(signal.SIGTERM)
        assert await ended(self._running[name], 20) == 0
        await self.start(name)


async def _answers(port: int) -> None:
    async with limited(30), httpx.AsyncClient(verify=False) as http:
        while True:
            try:
                await http.get(f"http://{HOST}:{port}/livez")
            except httpx.ConnectError:
                await asyncio.sleep(0.02)
            else:
                return


class Shopper:
    """A client that has both addresses, tries the other when one refuses, and notes all that was said."""

    def __init__(self, number: int, ports: list[int], http: httpx.AsyncClient) -> None:
        self._number, self._ports, self._http = number, ports, http
        self.outcomes: Counter[str] = Counter()
        self.known: dict[str, tuple[str, int]] = {}
        """The last name and version that was acknowledged of each user."""

    async def run(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            await self._buy(len(self.known))

    async def _buy(self, count: int) -> None:
        address = f"{self._number}.{count}@example.com"
        given = {"name": "First", "email": address, "idempotencyKey": f"create {address}"}
        made = (await self.ask(CREATE, input=given))["createUser"]
        change = {"userId": made["id"], "name": "Last", "idempotencyKey": f"rename {address}"}
        changed = (await self.ask(RENAME, input=change))["renameUser"]
        self.known[made["id"]] = ("Last", changed["version"])
        assert changed["version"] == 2
        await self.see(made["id"])

    async def see(self, user_id: str) -> None:
        name, version = self.known[user_id]
        found = await self.ask(READ, id=user_id, version=version)
        assert found["user"] == {"name": name, "version": version}

    async def ask(self, query: str, **variables: object) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        while True:
            url = f"http://{HOST}:{self._ports[0]}/graphql"
            try:
                answer = (await self._http.post(url, json=body)).json()
            except httpx.ConnectError:
                self.outcomes["refused"] += 1
            except httpx.TransportError as broken:
                self.outcomes[f"broken: {broken!r}"] += 1
            else:
                if "errors" not in answer:
                    self.outcomes["answered"] += 1
                    data: dict[str, Any] = answer["data"]
                    return data
                # The read model may be behind for as long as the only projector needs to start again.
                self.outcomes[answer["errors"][0]["extensions"]["code"]] += 1
            self._ports = self._ports[::-1]
            await asyncio.sleep(0.01)


@asynccontextmanager
async def deployment(urls: dict[str, str], place: Path) -> AsyncIterator[Deployment]:
    async with AsyncExitStack() as stack:
        made = Deployment(stack, urls, place)
        for name in made.names:
            await made.start(name)
        yield made


async def test_each_process_is_replaced_under_load_and_no_request_is_cut(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    urls = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PARTITIONS": str(PARTITIONS),
        "READ_TIMEOUT": "5",
    }
    enough = asyncio.Event()
    async with deployment(urls, tmp_path) as deployed, httpx.AsyncClient(timeout=30) as http:
        ports = deployed.ports
        shoppers = [Shopper(n, ports[:: 1 if n % 2 else -1], http) for n in range(CLIENTS)]
        async with asyncio.TaskGroup() as group:
            for shopper in shoppers:
                group.create_task(shopper.run(enough))
            for name in deployed.names:
                await deployed.replace(name)
            async with limited(30):
                while sum(shopper.outcomes["answered"] for shopper in shoppers) <= 100:
                    await asyncio.sleep(0.02)
            enough.set()
        outcomes = sum((shopper.outcomes for shopper in shoppers), Counter[str]())
        allowed = {"answered", "refused", "READ_MODEL_BEHIND", "READ_MODEL_REBUILDING"}
        assert set(outcomes) <= allowed, outcomes
        for shopper in shoppers:
            for user_id in shopper.known:
                await shopper.see(user_id)
