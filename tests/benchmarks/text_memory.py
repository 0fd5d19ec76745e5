"""What the API keeps in memory after many different texts, and after many different heads of requests."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.benchmarks import questions
from tests.benchmarks.cpu import memory_of
from tests.benchmarks.figures import Table
from tests.benchmarks.peers.cluster import cluster
from tests.benchmarks.peers.servers import TANDEM_1, served
from tests.benchmarks.wire import connections, head
from tests.benchmarks.workloads import SEED, new_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.wire import Connection

TEXTS, HEADS = 50_000, 10_000
TARGET = 150
"""MB."""


async def text_memory(bench: Bench) -> None:
    async with (
        cluster(bench.directory / "text-memory", 1) as ground,
        served(TANDEM_1, ground) as server,
    ):
        user, host = ground.ids[0], urlsplit(server.url).netloc
        sizes = [memory_of(server.pid)]
        for title, requests in (
            (f"{TEXTS:,} different texts", _texts(host, user)),
            (f"{HEADS:,} different heads", _heads(host, user)),
        ):
            async with bench.step(title):
                await _sent(server.url, requests, bench.options.connections)
            sizes.append(memory_of(server.pid))
    after = (f"after {TEXTS:,} texts", f"and {HEADS:,} heads", "target")
    headings = ("RSS of tandem api, MB", "at start", *after)
    cells = [f"{size / 1e6:.0f}" for size in sizes]
    bench.found.tables.append(Table(headings=headings, rows=[["", *cells, str(TARGET)]]))


async def _sent(url: str, requests: Iterator[bytes], number: int) -> None:
    async with connections(url, number) as opened:
        await asyncio.gather(*(_over(connection, requests) for connection in opened))


async def _over(connection: Connection, requests: Iterator[bytes]) -> None:
    for request in requests:
        await connection.send(request)


def _texts(host: str, user: str) -> Iterator[bytes]:
    for text in itertools.islice(new_texts(0), TEXTS):
        body = questions.body(text, id=user)
        yield head(host) % len(body) + body


def _heads(host: str, user: str) -> Iterator[bytes]:
    """Each has one to ten headers of names and values that no other has, of up to 200 bytes."""
    choose, body = random.Random(SEED), questions.body(questions.USER, id=user)
    request = head(host) % len(body) + body
    for number in range(HEADS):
        more = "".join(
            f"\r\nX-{number}-{one}: {choose.randbytes(choose.randint(1, 100)).hex()}"
            for one in range(choose.randint(1, 10))
        )
        yield request.replace(b"\r\n", f"{more}\r\n".encode(), 1)
