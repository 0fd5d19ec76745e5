"""A query and a mutation have so long; then they are given up, and the client is told what that means."""

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


def room(seconds: float) -> DeadlineScope:
    return DeadlineScope(Slots("guests", 10, "LIMIT_GUESTS"), seconds, LATE)


async def test_a_query_that_is_not_answered_in_time_is_given_up() -> None:
    async with edge(SHORT) as made:
        made.reads.unanswered = []
        response = await made.post(QUERY, headers=RESPONSE)
        [error] = response.json()["errors"]
        assert (response.status_code, error["extensions"]) == (504, {"code": "DEADLINE_EXCEEDED"})
        assert "LIMIT_QUERY_SECONDS" in error["message"]
        assert "data" not in response.json()
        assert [asked.cancelled() for asked, _ in made.reads.unanswered] == [True]


async def test_a_mutation_that_is_given_up_is_told_to_ask_again_with_its_key() -> None:
    async with edge(SHORT) as made:
        made.store.answers.clear()
        error = await made.error(MUTATION)
        assert error["extensions"] == {"code": "DEADLINE_EXCEEDED"}
        assert "it is not known whether" in error["message"]
        assert "idempotencyKey" in error["message"]
        assert len(made.store.commands) == 1


async def test_fields_that_run_side_by_side_are_given_up_together() -> None:
    async with edge(SHORT) as made:
        made.reads.unanswered = []
        before = asyncio.all_tasks()
        error = await made.error(
            f'{{ a: user(id: "{ALICE}") {{ name }} users {{ totalCount }} b: user(id: "{ALICE}") {{ id }} }}'
        )
        assert error["extensions"] == {"code": "DEADLINE_EXCEEDED"}
        assert asyncio.all_tasks() == before


async def test_whoever_is_late_does_not_make_others_late() -> None:
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


async def test_whoever_came_later_may_stay_longer() -> None:
    waiting, first_left = room(0.5), asyncio.Event()

    async def first() -> None:
        with suppress(RequestError):
            await waiting.run(asyncio.Event().wait)
        first_left.set()

    async with asyncio.TaskGroup() as guests:
        guests.create_task(first())
        await asyncio.sleep(0.4)
        assert await waiting.run(first_left.wait)
    assert waiting.slots.taken == 0


async def test_being_cancelled_by_somebody_else_is_no_deadline() -> None:
    waiting = room(10)
    guest = asyncio.create_task(waiting.run(asyncio.Event().wait))
    await asyncio.sleep(0)
    guest.cancel()
    with pytest.raises(asyncio.CancelledError):
        await guest
    assert waiting.slots.taken == 0


async def test_a_task_that_was_given_up_can_go_on() -> None:
    with pytest.raises(RequestError):
        await room(0.01).run(asyncio.Event().wait)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_what_ends_well_although_it_was_given_up_is_the_answer() -> None:
    async def stubborn() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "done"

    assert await room(0.01).run(stubborn) == "done"
