"""No document within the limits blocks the event loop for 100 ms.

Work is counted in calls, those of C too, which are the same on every machine, and in characters searched for
line breaks. WORST_DOCUMENTS=10000 searches longer; WORST_SEED=… repeats a search whose seed a failure names.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest

from api.engine.documents.document_cache import DocumentCache
from api.errors import RequestError
from api.limits import Limits
from api.schema.merged import SCHEMA
from tests.api.engine.test_document_size import counted
from tests.api.engine.test_error_locations import scans
from tests.api.engine.worst_documents import EXECUTED, documents
from tests.api.in_memory_app import edge
from tests.api.users import put_users

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.api.engine.test_error_locations import Scans
    from tests.api.in_memory_app import Edge

__all__ = ["scans"]

MOST_CALLS: Final = 900_000
"""A call takes 0.07 to 0.1 µs here, so these take 90 ms at most."""

MIXTURES: Final = int(os.environ.get("WORST_DOCUMENTS", "5"))
SEED: Final = int(os.environ.get("WORST_SEED", str(time.time_ns())))
LIMITS: Final = Limits()


def test_preparing_a_document_is_never_much_work(scans: Scans) -> None:
    known = DocumentCache(SCHEMA, LIMITS)
    for name, text in documents(SEED, MIXTURES):
        scans.characters = 0
        with counted() as calls, suppress(RequestError):
            known.get(text)
        about = f"WORST_SEED={SEED}: {name}"
        assert 0 < calls.number < MOST_CALLS, about
        assert scans.characters <= 2 * len(text), about


@pytest.mark.parametrize("text", EXECUTED.values(), ids=EXECUTED)
async def test_executing_an_operation_is_never_much_work_in_one_go(
    text: Callable[[int], str],
) -> None:
    query = largest(text)
    async with edge(Limits(query_seconds=100)) as made:  # counting its calls makes it slow
        put_users(made.reads, 100, orders=100)
        for _ in range(2):  # by graphql-core, and by a plan, or by both where a field fails
            assert 0 < await most_calls(made, query) < MOST_CALLS


def largest(text: Callable[[int], str]) -> str:
    """Returns the longest document within the limits."""
    known = DocumentCache(SCHEMA, LIMITS)
    for length in range(100, 0, -1):
        with suppress(RequestError):
            prepared = known.get(text(length))
            cost, fields = prepared.operation(None).cost(prepared.values({}))
            if cost <= LIMITS.cost_budget and fields <= LIMITS.response_fields:
                return text(length)
    raise AssertionError("the limits let none through")


async def most_calls(made: Edge, query: str) -> int:
    """Returns the calls in the longest turn of the event loop until the response."""
    most = before = 0
    with counted() as calls:
        posting = asyncio.create_task(made.post(query))
        while not posting.done():
            await asyncio.sleep(0)
            most, before = max(most, calls.number - before), calls.number
    assert "data" in posting.result().json()
    return most
