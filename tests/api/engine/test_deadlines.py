"""Queries and mutations have a deadline; when it passes they are cancelled, and the error explains it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from api.engine.execution.concurrency import DeadlineScope, Slots
from api.errors import RequestError
from api.limits import Limits
from tests.api.in_memory_app import ALICE, edge

QUERY = f'{{ user(id: "{ALICE}") {{ name }} }}'
MUTATION = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'
SHORT = Limits(query_seconds=0.02, mutation_seconds=0.02)
RESPONSE = {"accept": "application/graphql-response+json"}
LATE = {"message": "late", "extensions": {"code": "DEADLINE_EXCEEDED"}}


def scope(seconds: float) -> DeadlineScope:
    return DeadlineScope(Slots("tasks", 10, "LIMIT_TASKS"), seconds, LATE)


async def test_a_query_that_exceeds_its_deadline_is_cancelled() -> None:
    async with edge(SHORT) as made:
        made.reads.unanswered = []
        response = await made.post(QUERY, headers=RESPONSE)
        [error] = response.json()["errors"]
        assert (response.status_code, error["extensions"]) == (504, {"code": "DEADLINE_EXCEEDED"})
        assert "LIMIT_QUERY_SECONDS" in error["message"]
        assert "data" not in response.json()
        assert [asked.cancelled() for asked, _ in made.reads.unanswered] == [True]


async def test_a_cancelled_mutation_says_to_send_it_again_with_its_key() -> None:
    async with edge(SHORT) as made:
        made.store.answers.clear()
        error = await made.error(MUTATION)
        assert error["extensions"] == {"code": "DEADLINE_EXCEEDED"}
        assert "it is not known whether" in error["message"]
        assert "idempotencyKey" in error["message"]
        assert len(made.store.commands) == 1


async def test_concurrent_fields_are_cancelled_together() -> None:
    async with edge(SHORT) as made:
        made.reads.unanswered = []
        before = asyncio.all_tasks()
        error = await made.error(
            f'{{ a: user(id: "{ALICE}") {{ name }} users {{ totalCount }} b: user(id: "{ALICE}") {{ id }} }}'
        )
        assert error["extensions"] == {"code": "DEADLINE_EXCEEDED"}
        assert asyncio.all_tasks() == before


async def test_a_late_query_does_not_delay_others() -> None:
    async with edge(SHORT) as made:
        made.reads.put(ALICE, "Alice")
        for _ in range(3):
            made.reads.unanswered = []
            late = asyncio.create_task(made.ask(QUERY))
            while not made.reads.unanswered:
                await asyncio.sleep(0)
            made.reads.unanswered = None
            assert (await made.ask(QUERY))["data"] == {"user": {"name": "Alice"}}
            assert "errors" in await late


async def test_a_task_that_started_later_has_a_later_deadline() -> None:
    deadlines, first_left = scope(0.5), asyncio.Event()

    async def first() -> None:
        with suppress(RequestError):
            await deadlines.run(asyncio.Event().wait)
        first_left.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(first())
        await asyncio.sleep(0.4)
        assert await deadlines.run(first_left.wait)
    assert deadlines.slots.taken == 0


async def test_a_cancellation_from_outside_is_no_deadline() -> None:
    deadlines = scope(10)
    task = asyncio.create_task(deadlines.run(asyncio.Event().wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert deadlines.slots.taken == 0


async def test_a_task_that_exceeded_its_deadline_can_continue() -> None:
    with pytest.raises(RequestError):
        await scope(0.01).run(asyncio.Event().wait)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_result_in_spite_of_the_cancellation_is_returned() -> None:
    async def stubborn() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "done"

    assert await scope(0.01).run(stubborn) == "done"
