"""A process of the API dies, or its client goes away, between insert and COMMIT: the key has one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.writers import Hold, held_commits
from tests.forked import Member, start
from tests.limited import limited
from tests.processes import HOST, free_port
from tests.stores import PARTITIONS

CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { id version } }"
ALICE = {"name": "Alice", "email": "alice@example.com", "idempotencyKey": "alice"}
PATIENCE = 20.0


class Api:
    """A process of the API, and requests to it over connections of their own."""

    def __init__(self, member: Member, port: int) -> None:
        self.member = member
        self._url = f"http://{HOST}:{port}/graphql"

    async def create(self) -> dict[str, Any]:
        """The whole answer. Raises what httpx raises."""
        async with httpx.AsyncClient(timeout=PATIENCE, verify=False) as http:
            body = {"query": CREATE, "variables": {"input": ALICE}}
            answer: dict[str, Any] = (await http.post(self._url, json=body)).json()
            return answer

    async def answers(self) -> None:
        async with httpx.AsyncClient(verify=False) as http, limited(30):
            while self.member.running:
                try:
                    await http.post(self._url, json={"query": "{ __typename }"})
                except httpx.TransportError:
                    await asyncio.sleep(0.02)
                else:
                    return
        raise AssertionError(self.member.log.read_text())


@pytest.fixture
async def apis(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[list[Api]]:
    """Two that answer."""
    async with AsyncExitStack() as stack:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PARTITIONS": str(PARTITIONS),
        }
        yield [
            await stack.enter_async_context(api(environment, tmp_path / f"{number}.log"))
            for number in range(2)
        ]


@asynccontextmanager
async def api(environment: dict[str, str], log: Path) -> AsyncIterator[Api]:
    port = free_port()
    member = start("api", ["api"], {**environment, "PORT": str(port)}, log)
    try:
        made = Api(member, port)
        await made.answers()
        yield made
    finally:
        member.kill()
        await member.ended()


@pytest.fixture
async def hold(database_url: str) -> AsyncIterator[Hold]:
    async with held_commits(database_url) as hold:
        yield hold


async def exactly_once(hold: Hold, answers: list[dict[str, Any]]) -> None:
    assert "errors" not in answers[0]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["data"]["createUser"]["version"] == 1
    assert await hold.counts() == {"users": 1, "commands": 1, "events": 1}


@pytest.mark.parametrize("retried", ["before it is released", "after it is released"])
async def test_an_api_killed_there_leaves_a_command_that_its_key_answers(
    apis: list[Api], hold: Hold, retried: str
) -> None:
    doomed, other = apis
    first = asyncio.create_task(doomed.create())
    await hold.reached()
    doomed.member.kill()
    await doomed.member.ended()
    with pytest.raises(httpx.TransportError):
        await first
    if retried == "after it is released":
        await hold.release()
        await hold.at_rest()
    retries = [asyncio.create_task(other.create()) for _ in range(8)]
    if retried == "before it is released":
        await hold.blocked(2)
        await hold.release()
    await exactly_once(hold, await asyncio.gather(*retries))


async def gone(apis: list[Api], hold: Hold, clients: int) -> None:
    """So many clients ask, and go away while their commands stand there."""
    asked = [asyncio.create_task(apis[number % 2].create()) for number in range(clients)]
    await hold.blocked(clients)
    for client in asked:
        client.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_a_client_that_went_away_there_and_asks_again_from_eight_places_has_one_answer(
    apis: list[Api], hold: Hold
) -> None:
    await gone(apis, hold, 1)
    retries = [asyncio.create_task(apis[number % 2].create()) for number in range(8)]
    await hold.blocked(8)
    await hold.release()
    await exactly_once(hold, await asyncio.gather(*retries))


async def test_clients_that_all_went_away_leave_one_command(apis: list[Api], hold: Hold) -> None:
    await gone(apis, hold, 8)
    await hold.release()
    await exactly_once(hold, [await apis[1].create(), await apis[0].create()])
