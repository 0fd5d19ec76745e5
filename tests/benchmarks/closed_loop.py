"""The closed loop: every connection asks its next question as soon as it has the last answer.

A protocol that asks again from where it is answered, without futures, tasks or a parser: a service that needs
0.1 ms for an answer must wait for nobody but its clients' kernel.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from tests.benchmarks.wire import AnswerError
from tests.benchmarks.workloads import asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.plan import Plan, Tally
    from tests.benchmarks.workloads import Question

_LENGTH = b"content-length: "
_PAUSE = 0.01
"""Seconds after a wrong answer: a service that refuses at once must not make us spin."""


async def questions_without_end(plan: Plan, tally: Tally) -> None:
    loop, at = asyncio.get_running_loop(), urlsplit(plan.url)
    lost: asyncio.Future[None] = loop.create_future()
    questions = asked(plan)
    with ExitStack() as opened:
        for _ in range(plan.connections):
            _, lane = await loop.create_connection(
                lambda: Lane(questions, tally, lost), at.hostname or "", at.port or 80
            )
            opened.callback(lane.close)
        await lost


class Lane(asyncio.Protocol):
    """One connection. `lost` fails when the service closes it."""

    def __init__(
        self, questions: Iterator[Question], tally: Tally, lost: asyncio.Future[None]
    ) -> None:
        self._questions = questions
        self._tally = tally
        self._lost = lost
        self._question: Question
        self._next: Question | None = None
        self._asked_at = 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        end = received.find(b"\r\n\r\n")
        if end < 0 or len(received) < end + 4 + _length(received[:end]):
            return
        self._received = b""
        self._answered(received[:end], received[end + 4 :])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_exception(ConnectionResetError("the service closed the connection"))

    def _ask(self) -> None:
        self._question = self._next or next(self._questions)
        self._next = None
        self._asked_at = time.perf_counter()
        self._transport.write(self._question.request)

    def _answered(self, head: bytes, body: bytes) -> None:
        took = time.perf_counter() - self._asked_at
        _, needle, times, then = self._question
        if head[9:12] == b"200" and body.count(needle) == times and b'"errors"' not in body:
            if self._tally.measuring:
                self._tally.took("answer", took)
            self._next = then(body) if then else None
            self._ask()
        else:
            self._tally.fail(f"{head[:12].decode()}: {body[:300]!r}")
            asyncio.get_running_loop().call_later(_PAUSE, self._ask)


def _length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(_LENGTH)
    if start < 0:
        raise AnswerError(f"an answer without its length: {head!r}")
    return int(lowered[start + len(_LENGTH) :].partition(b"\r")[0])
