"""Watches users, in a process of its own: a plan in on stdin as JSON, what it saw out in a file."""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
import sys
import time
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from tests.benchmarks import cpu, questions
from tests.benchmarks.plan import Watched, WatchPlan
from tests.benchmarks.wire import AnswerError, Connection, connections, head

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 100
"""Subscriptions that are opened together."""

WRITERS = 16
WITHIN = 60.0
"""Seconds in which all of a kind have arrived."""

_VERSION = re.compile(rb'"version":(\d+),')
_UPGRADE = (
    "GET /graphql HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
_TEXT, _PING, _PONG = 1, 9, 10


class Watcher(asyncio.Protocol):
    """One subscription. `seen` is called with each version that arrives."""

    def __init__(self, host: str, user: str, seen: Callable[[int], None]) -> None:
        self._host, self._seen = host, seen
        self._body = questions.body(questions.USER_CHANGED, id=user)
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        accepts = head(self._host).replace(
            b"Accept: application/json", b"Accept: text/event-stream"
        )
        self._transport.write(accepts % len(self._body) + self._body)

    def data_received(self, data: bytes) -> None:
        data = self._received + data
        end = 0
        for found in _VERSION.finditer(data):
            self._seen(int(found[1]))
            end = found.end()
        self._received = data[max(end, len(data) - 30) :]  # the beginning of a version, at most


class SocketWatcher(Watcher):
    """The same over graphql-transport-ws."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write((_UPGRADE % self._host).encode())
        self._upgraded = False

    def data_received(self, data: bytes) -> None:
        data = self._received + data
        if not self._upgraded:
            answer, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._received = answer
                return
            self._upgraded = True
            self._message(b'{"type":"connection_init"}')
        while len(data) > 1:
            length, start = data[1], 2
            if length == 126:
                length, start = int.from_bytes(data[2:4], "big"), 4
            if len(data) < start + length:
                break
            self._frame(data[0] & 15, data[start : start + length])
            data = data[start + length :]
        self._received = data

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self._send(_PONG, payload)
        elif found := _VERSION.search(payload):
            self._seen(int(found[1]))
        elif b'"connection_ack"' in payload:
            self._message(b'{"type":"subscribe","id":"1","payload":%s}' % self._body)
        elif b'"ping"' in payload:
            self._message(b'{"type":"pong"}')

    def _message(self, text: bytes) -> None:
        self._send(_TEXT, text)

    def _send(self, opcode: int, payload: bytes) -> None:
        """Masked with zeros, which leave it as it is."""
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self._transport.write(bytes([0x80 | opcode]) + length + bytes(4) + payload)


class Deliveries:
    """What arrived when, and what was accepted when: the users by their number."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, int, float]] = []
        self.accepted: dict[tuple[str, int], float] = {}
        self._awaited = 0
        self._enough = asyncio.Event()

    def add(self, user: str, version: int) -> None:
        self.arrived.append((user, version, time.perf_counter()))
        if len(self.arrived) >= self._awaited:
            self._enough.set()

    async def reach(self, number: int) -> None:
        """Waits until so many have arrived. Raises AnswerError after WITHIN seconds."""
        self._awaited = number
        self._enough.clear()
        if len(self.arrived) < number:
            try:
                await asyncio.wait_for(self._enough.wait(), WITHIN)
            except TimeoutError:
                raise AnswerError(f"{len(self.arrived)} of {number} arrived") from None

    def latencies(self) -> dict[tuple[str, int], list[float]]:
        """Of each change. A delivery may be faster than the answer to its mutation."""
        found: dict[tuple[str, int], list[float]] = defaultdict(list)
        for user, version, at in self.arrived:
            if accepted := self.accepted.get((user, version)):
                found[user, version].append(max(0.0, at - accepted))
        return found


async def watch(plan: WatchPlan) -> Watched:
    deliveries, memory = Deliveries(), cpu.memory_of(plan.pid)
    began = _cpu(plan.pid)
    await _open(plan, deliveries)
    opened, memory = _cpu(plan.pid), cpu.memory_of(plan.pid) - memory
    async with connections(plan.writer, WRITERS) as writers:
        await (_at_rate if plan.rate else _one_by_one)(plan, writers, deliveries)
    used, latencies = _cpu(plan.pid) - opened, deliveries.latencies()
    return Watched(
        latencies=[one for all_of_one in latencies.values() for one in all_of_one],
        last=[max(all_of_one) for all_of_one in latencies.values()],
        opening_cpu=opened - began,
        cpu=used,
        memory=memory,
    )


async def _open(plan: WatchPlan, deliveries: Deliveries) -> None:
    """Each begins with the present state."""
    loop, at = asyncio.get_running_loop(), urlsplit(plan.url)
    made = Watcher if plan.over == "SSE" else SocketWatcher
    users = itertools.islice(itertools.cycle(plan.ids), plan.watchers)

    def watcher(user: str) -> Watcher:
        return made(at.netloc, user, lambda version: deliveries.add(user, version))

    for number in range(0, plan.watchers, AT_ONCE):
        some = list(itertools.islice(users, AT_ONCE))
        for user in some:
            await loop.create_connection(partial(watcher, user), at.hostname or "", at.port or 80)
        await deliveries.reach(number + len(some))


async def _one_by_one(plan: WatchPlan, writers: list[Connection], deliveries: Deliveries) -> None:
    watching = Counter(itertools.islice(itertools.cycle(plan.ids), plan.watchers))
    for _, user in zip(range(plan.changes), itertools.cycle(plan.ids), strict=False):
        expected = len(deliveries.arrived) + watching[user]
        await _change(writers[0], user, deliveries)
        await deliveries.reach(expected)


async def _at_rate(plan: WatchPlan, writers: list[Connection], deliveries: Deliveries) -> None:
    """Of as many users as there are watchers, one after the other."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in writers:
        free.put_nowait(connection)

    async def change(user: str) -> None:
        connection = await free.get()
        await _change(connection, user, deliveries)
        free.put_nowait(connection)

    expected, due = len(deliveries.arrived) + plan.changes, time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _, user in zip(range(plan.changes), itertools.cycle(plan.ids), strict=False):
            due += 1 / plan.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(change(user))
    await deliveries.reach(expected)


async def _change(connection: Connection, user: str, deliveries: Deliveries) -> None:
    version = await questions.rename_user(connection, user, f"Name {time.time_ns()}")
    deliveries.accepted[user, version] = connection.answered_at


def _cpu(pid: int) -> float:
    return cpu.of_trees([pid]) or 0.0


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=WatchPlan)
    gc.freeze()
    watched = uvloop.run(watch(plan))
    Path(sys.argv[1]).write_bytes(msgspec.json.encode(watched))


if __name__ == "__main__":
    main()
