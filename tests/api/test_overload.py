"""So much at once, and what is more is refused with OVERLOADED before anything is done."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from api.limits import Limits
from tests.api.edge import ALICE, Edge, edge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUERY = f'{{ user(id: "{ALICE}") {{ name }} }}'
MUTATION = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'
RESPONSE = {"accept": "application/graphql-response+json"}
NARROW = Limits(queries=2, mutations=2, subscriptions=2)


@asynccontextmanager
async def busy(query: str, limits: Limits = NARROW) -> AsyncIterator[Edge]:
    """An edge that is busy with two of these, which are answered on the way out."""
    async with edge(limits) as made:
        made.reads.put(ALICE, "Alice")
        made.store.answers.clear()
        made.reads.unanswered = []
        asking = [asyncio.create_task(made.ask(query)) for _ in range(2)]
        while len(made.reads.unanswered) + len(made.store.commands) < 2:
            await asyncio.sleep(0)
        held, made.reads.unanswered = made.reads.unanswered, None
        yield made
        made.store.answers.set()
        for answer, replies in held:
            answer.set_result(replies)
        for answered in await asyncio.gather(*asking):
            assert "errors" not in answered


def code(response: Any) -> str:
    [error] = response["errors"]
    return str(error["extensions"]["code"])


async def test_one_query_too_many_is_refused_and_told_when_to_come_again() -> None:
    async with busy(QUERY) as made:
        response = await made.post(QUERY, headers=RESPONSE)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert code(response.json()) == "OVERLOADED"
        assert "LIMIT_QUERIES" in response.json()["errors"][0]["message"]
        assert (await made.post(QUERY)).status_code == 200  # as every error in application/json


async def test_a_refused_mutation_has_done_nothing() -> None:
    async with busy(MUTATION) as made:
        assert code(await made.ask(MUTATION)) == "OVERLOADED"
        assert len(made.store.commands) == 2


async def test_mutations_that_wait_do_not_keep_queries_out_nor_the_other_way_round() -> None:
    async with busy(MUTATION) as made:
        assert "errors" not in await made.ask(QUERY)
    async with busy(QUERY) as made:
        made.store.answers.set()
        assert "errors" not in await made.ask(MUTATION)


async def test_a_process_that_is_busy_still_says_that_it_lives() -> None:
    async with busy(QUERY) as made:
        assert (await made.client.get("/livez")).status_code == 200


async def test_seats_are_free_again_afterwards() -> None:
    async with edge(NARROW) as made:
        made.reads.put(ALICE, "Alice")
        for _ in range(5):
            assert "errors" not in await made.ask(QUERY)
            assert "errors" in await made.ask(f'{{ user(id: "{ALICE}", minVersion: 9) {{ id }} }}')
