"""The real application with a store and a read model in memory, for the tests of the API alone.

The stores have their own tests; the acceptance tests use everything together.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import httpx
import uvicorn
from hiredis import Reader
from starlette.applications import Starlette

from api.auth.access import Access
from api.engine.documents.registered import RegisteredDocuments
from api.engine.documents.trusted import TrustedDocuments
from api.engine.execution.configuration import EngineConfiguration
from api.engine.execution.executor import Executor
from api.http.graphql_http import HTTPOptions, Profile
from api.http.protocols.server_config import uvicorn_config
from api.limits import Limits
from api.resolvers.context import Context
from api.runtime.app import create_app
from domain.command import Command, CommandResult
from domain.refusal import Refusal
from domain.users.events import UserId, name_key
from domain.write.store import Store
from readside.queries.pubsub import ChannelSubscription
from readside.queries.reader import CommandsFor, ReadModel
from readside.queries.shared_calls import SharedCalls
from readside.redis_connection.protocol import Replies
from readside.redis_functions.keys import Keys, Partition
from readside.sorted_index import number_key
from readside.timestamps import to_epoch_millis, to_rfc3339_millis
from tests.readside.zrange import zrange

ALICE = UserId(UUID("019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f"))
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class ScriptedStore:
    """Returns `outcome` for every command, and records the commands."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.metadata: list[Mapping[str, str]] = []
        self.outcome: CommandResult | Refusal | Exception = CommandResult(
            id=ALICE, aggregate_id=ALICE, version=1
        )
        self.answers = asyncio.Event()
        """While it is cleared, the store does not respond."""
        self.answers.set()

    async def execute(
        self, command: Command, *, metadata: Mapping[str, str]
    ) -> CommandResult | Refusal:
        self.commands.append(command)
        self.metadata.append(metadata)
        await self.answers.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def order_id(user_id: UUID, number: int) -> str:
    """Returns the id of the order of this number, from 0, of a user of MemoryReads."""
    return f"{number:08}{str(user_id)[8:]}"


class MemoryReads:
    """Answers the reads of users and orders from dictionaries, or fails with `failure`."""

    version_timeout_seconds = 0.01
    partitions = range(1)

    def __init__(self) -> None:
        self.shared = SharedCalls()
        self.hashes: dict[str, dict[str, str]] = {}
        self.recent: dict[str, list[str]] = defaultdict(list)
        self.ids: list[str] = []
        self.orders: dict[str, list[str]] = defaultdict(list)
        """Members by the key of their user's; an order's sequence is its place there, from 1."""
        self.failure: Exception | None = None
        self.asked = 0
        self.listeners: set[ChannelSubscription] = set()
        self.unanswered: list[tuple[asyncio.Future[Replies], Replies]] | None = None
        """If it is a list, requests wait in it with their replies."""
        self.without_lag: str | None = None
        """The generation without lag, `g`; None if it is not known."""

    def put(self, user_id: UUID, name: str, version: int = 1) -> None:
        at = to_rfc3339_millis(NOW)
        keys = Keys(Partition(0), "g")
        if before := self.hashes.get(keys.document("user", user_id)):
            fields = [each for field in ("name", "email") for each in (field, before[field])]
            row = [str(version), before["updatedAt"], *fields]
            self.recent[keys.owned_key("recent", user_id)].append(json.dumps(row))
        self.hashes[keys.document("user", user_id)] = {
            "version": str(version),
            "name": name,
            "email": f"{name.lower()}@example.com",
            "createdAt": at,
            "updatedAt": at,
            "orderCount": str(len(self.orders[keys.owned_key("orders", user_id)])),
        }
        self.ids = sorted({*self.ids, str(user_id)}, reverse=True)
        for listener in self.listeners:
            listener.notify()

    def put_order(self, user_id: UUID, status: str, total: int) -> None:
        """Adds an order of an existing user; the status is OPEN, COMPLETED or CANCELLED."""
        keys = Keys(Partition(0), "g")
        placed = self.orders[keys.owned_key("orders", user_id)]
        order, at = order_id(user_id, len(placed)), to_rfc3339_millis(NOW)
        placed.append(f"{order} {total} {to_epoch_millis(at)}")
        closed = self.hashes.setdefault(keys.owned_key("closed", user_id), {})
        if status != "OPEN":
            closed[order] = f"{status} {at}"
        self.hashes[keys.document("user", user_id)] |= {
            "orderCount": str(len(placed)),
            "closedCount": str(len(closed)),
        }

    def partition_of(self, _: UUID) -> int:
        return 0

    @property
    def primary(self) -> MemoryReads:
        return self

    async def generation_without_lag(self, _: int) -> str | None:
        return self.without_lag

    @asynccontextmanager
    async def subscribe(self, _: UUID) -> AsyncIterator[ChannelSubscription]:
        subscription = ChannelSubscription()
        self.listeners.add(subscription)
        try:
            yield subscription
        finally:
            self.listeners.discard(subscription)

    def read(self, partition: int, question: CommandsFor) -> asyncio.Future[Replies]:
        answer: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()
        self.asked += 1
        if self.failure is not None:
            answer.set_exception(self.failure)
            return answer
        keys = Keys(Partition(partition), "g")
        replies = [self._reply(*_words(command)) for command in question(keys)]
        if self.unanswered is None:
            answer.set_result(replies)
        else:
            self.unanswered.append((answer, replies))
        return answer

    async def read_partitions(self, questions: dict[int, CommandsFor]) -> dict[int, Replies]:
        return {number: await self.read(number, asked) for number, asked in questions.items()}

    async def active_keys(self, partitions: set[int]) -> dict[int, Keys]:
        return {number: Keys(Partition(number), "g") for number in partitions}

    def read_unchecked(self, commands: list[bytes], _: Collection[int]) -> asyncio.Future[Replies]:
        return self.read(0, lambda _: commands)

    async def read_all(self, question: CommandsFor) -> list[Replies]:
        return [await self.read(0, question)]

    def _members(self, key: str) -> list[str]:
        """Of an index of users, as it would be in Redis."""
        keys = {
            user: self.hashes[Keys(Partition(0), "g").document("user", user)] for user in self.ids
        }
        match key.rpartition(":")[2]:
            case "users":
                return self.ids[::-1]
            case "emails":
                return sorted(f"{fields['email']}\t{user}" for user, fields in keys.items())
            case "names":
                return sorted(
                    f"{name_key(fields['name'])}\t{user}" for user, fields in keys.items()
                )
            case "lifetime-values":
                return [f"{number_key(0)}\t{user}" for user in self.ids[::-1]]
            case "orders-by-id":
                return [
                    f"{order.partition(' ')[0]} {number} {user}"
                    for user in self.ids[::-1]
                    for number, order in enumerate(
                        self.orders[Keys(Partition(0), "g").owned_key("orders", user)], 1
                    )
                ]
            case _:
                return []

    def _reply(self, verb: str, key: str, *arguments: str) -> Any:
        match verb:
            case "HMGET":
                return [self.hashes.get(key, {}).get(field) for field in arguments]
            case "LRANGE":
                return self.recent[key]
            case "ZRANGE" if "BYSCORE" in arguments:
                numbered = dict(enumerate(self.orders[key], 1))
                page = zrange(numbered, arguments, int)
                return [each for number in page for each in (numbered[number], str(number))]
            case "EXISTS":
                return int(key in self.hashes)
            case "ZRANGE":
                return zrange(self._members(key), arguments)
            case "ZLEXCOUNT":
                return len(zrange(self._members(key), arguments))
            case "HGET" if key.endswith(":counters"):
                return str(len(self._members(arguments[0])))
            case "ZSCORE":
                return "0" if arguments[0] in self.ids else None
            case "HLEN":
                return len(self.hashes.get(key, {}))
            case "ZCARD":
                return len(self._members(key) or self.orders[key])
            case _:
                return [] if verb.startswith("Z") else None


def _words(command: tuple[str, ...] | bytes) -> list[str]:
    """Of a command that may be packed."""
    if not isinstance(command, bytes):
        return list(command)
    reader = Reader(encoding="utf-8", errors="surrogateescape")
    reader.feed(command)
    words: list[str] = reader.gets()
    return words


class Edge:
    """The application with its stores and a client."""

    def __init__(
        self,
        limits: Limits,
        trusted: TrustedDocuments | None = None,
        *,
        access: Access | None = None,
        introspection: bool = True,
        http_profile: Profile = "compatible",
        registered: RegisteredDocuments | None = None,
        federation: bool = False,
        **http: Any,
    ) -> None:
        self.store = ScriptedStore()
        self.reads = MemoryReads()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """The number of operations by type and code."""
        context = Context(
            store=cast("Store", self.store),
            read_model=cast("ReadModel", self.reads),
            max_page_size=limits.page,
        )
        configuration = EngineConfiguration(
            limits=limits,
            trusted_documents=trusted or TrustedDocuments(),
            introspection=introspection,
            measure=lambda kind, code, _: self.outcomes.update([(kind, code)]),
        )
        options = HTTPOptions(profile=http_profile, **http)
        self.app: Starlette = create_app(
            context,
            configuration,
            access,
            http=options,
            registered=registered,
            federation=federation,
        )
        self.executor: Executor = self.app.state.executor
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=True)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://tandem")

    async def post(self, query: str, **request: Any) -> httpx.Response:
        headers = request.pop("headers", {})
        body = {"query": query, **request}
        return await self.client.post("/graphql", json=body, headers=headers)

    async def ask(self, query: str, **variables: Any) -> Any:
        """The response's JSON."""
        return (await self.post(query, variables=variables)).json()

    async def error(self, query: str, **variables: Any) -> Any:
        """The one error of the response."""
        [error] = (await self.ask(query, **variables))["errors"]
        return error


@asynccontextmanager
async def edge(
    limits: Limits | None = None,
    trusted: TrustedDocuments | None = None,
    *,
    access: Access | None = None,
    introspection: bool = True,
    http_profile: Profile = "compatible",
    registered: RegisteredDocuments | None = None,
    federation: bool = False,
    **http: Any,
) -> AsyncIterator[Edge]:
    """`http` are other options of HTTP."""
    made = Edge(
        limits or Limits(),
        trusted,
        access=access,
        introspection=introspection,
        http_profile=http_profile,
        registered=registered,
        federation=federation,
        **http,
    )
    async with made.client:
        yield made


class Server(uvicorn.Server):
    """uvicorn, which begins its shutdown at once and not at its next tick, 0.1 s apart."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._exiting = asyncio.Event()
        super().__init__(config)
        self.listening = asyncio.Event()
        self.address: tuple[str, int] = ("", 0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    def exit(self) -> None:
        self.should_exit = True
        self._exiting.set()

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._exiting.wait(), 0.1)


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """Serves the application with a real server; yields its host and port."""
    async with served_by(uvicorn_config(app, log_level="warning")) as address:
        try:
            yield address
        finally:
            app.state.closing.set()  # as the process does, so that event streams end


@asynccontextmanager
async def served_by(config: uvicorn.Config) -> AsyncIterator[str]:
    async with running(config) as server:
        yield "{}:{}".format(*server.address)


@asynccontextmanager
async def running(
    config: uvicorn.Config, port: int = 0, *, shared: bool = False
) -> AsyncIterator[Server]:
    """`shared`: other servers may listen on the same port."""
    listener = socket.create_server(("127.0.0.1", port), reuse_port=shared)
    async with running_on(listener, config) as server:
        yield server


@asynccontextmanager
async def running_on(listener: socket.socket, config: uvicorn.Config) -> AsyncIterator[Server]:
    server = Server(config)
    with listener:
        server.address = listener.getsockname()
        serving = asyncio.create_task(server.serve([listener]))
        try:
            await server.listening.wait()
            yield server
        finally:
            server.exit()
            with suppress(asyncio.CancelledError):
                await serving
