"""Before anything is timed: every peer answers a question with the bytes that Tandem answers it with."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from tests.benchmarks.wire import AnswerError, connections
from tests.benchmarks.workloads import bodies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.peers.servers import Server
    from tests.benchmarks.plan import Plan

ASKED = 50
"""Questions of a workload that are compared."""


class Answered(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    errors: msgspec.Raw = msgspec.Raw(b"null")


async def compare(plan: Plan, servers: Sequence[Server]) -> None:
    """Raises AnswerError at the first difference, or if a question is not answered at all."""
    asked = [body for body, _, _ in islice(bodies(plan), ASKED)]
    known = {server.peer.name: await _answers(server.url, asked) for server in servers}
    [(first, expected), *others] = known.items()
    for name, answers in others:
        for body, one, other in zip(asked, expected, answers, strict=True):
            if one != other:
                raise AnswerError(f"{body!r}: {first} answers {one!r}, but {name} {other!r}")


async def _answers(url: str, asked: list[bytes]) -> list[bytes]:
    async with connections(url, 1) as (connection,):
        return [_data(await connection.post(body)) for body in asked]


def _data(body: bytes) -> bytes:
    answer = msgspec.json.decode(body, type=Answered)
    if bytes(answer.data) == b"null" or bytes(answer.errors) != b"null":
        raise AnswerError(f"not answered: {body[:300]!r}")
    return msgspec.json.format(bytes(answer.data), indent=-1)  # without spaces, which are no data
