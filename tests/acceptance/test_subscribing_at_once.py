"""A subscription right after the creation of its user, however far the read model is behind."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from api.engine.operation_type import SUBSCRIPTIONS
from api.engine.request import Request
from api.errors import RequestError
from api.roles import Role
from api.runtime.background import cancel_all
from api.runtime.composition import compose
from domain.ids import new_id
from tests.acceptance.service import Client, running
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.settings import Settings

WATCH = """subscription($id: ID!, $minVersion: Int) {
    userChanged(id: $id, minVersion: $minVersion) { version name } }"""
CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { id } }"
CREATED = {"version": 1, "name": "Alice"}


async def first(client: Client, user_id: str, **variables: int) -> Any:
    """The first result of the subscription, or the code of the error that ends it."""
    app: Any = client.http._transport  # noqa: SLF001
    request = Request(query=WATCH, variables={"id": user_id, **variables})
    stream = app.app.state.executor.stream(request, SUBSCRIPTIONS)
    async with limited(20), aclosing(stream) as results:
        try:
            return msgspec.json.decode((await anext(results))["data"])["userChanged"]
        except RequestError as refusal:
            return refusal.errors[0]["extensions"]["code"]


async def create(client: Client, number: int = 0) -> str:
    given = {"name": "Alice", "email": f"alice{number}@example.com"}
    created = await client.data(CREATE, input=given)
    user_id: str = created["createUser"]["id"]
    return user_id


async def create_and_watch(client: Client, number: int) -> Any:
    return await first(client, await create(client, number))


@asynccontextmanager
async def process(settings: Settings, role: Role) -> AsyncIterator[None]:
    async with compose(settings, frozenset({role})) as service:
        tasks = [asyncio.create_task(loop()) for loop in service.loops.values()]
        try:
            yield
        finally:
            await cancel_all(tasks)


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """A subscription begins to doubt that its user exists after 0.5 s."""
    return settings.model_copy(update={"read_timeout": 0.5})


async def test_a_user_that_does_not_exist_is_reported(quick: Settings) -> None:
    async with running(quick) as client:
        assert await first(client, str(new_id())) == "USER_NOT_FOUND"
        assert await first(client, str(new_id()), minVersion=1) == "READ_MODEL_BEHIND"


async def test_users_are_found_right_after_their_creation(quick: Settings) -> None:
    async with running(quick) as client:
        found = await asyncio.gather(*(create_and_watch(client, n) for n in range(200)))
    assert found == [CREATED] * 200


@pytest.mark.parametrize("stopped", [Role.RELAY, Role.PROJECTOR])
async def test_a_created_user_is_waited_for_while_no_event_is_applied(
    quick: Settings, stopped: Role
) -> None:
    async with running(quick):
        pass  # builds the read model
    async with running(quick, frozenset({Role.API})) as client:
        user_id = await create(client)
        async with process(quick, *({Role.RELAY, Role.PROJECTOR} - {stopped})):
            watching = asyncio.create_task(first(client, user_id))
            await asyncio.wait([watching], timeout=4)
            assert not watching.done()
            async with process(quick, stopped):
                assert await watching == CREATED
                # In every partition, so that no connection is being opened when the process ends.
                await asyncio.gather(*(create_and_watch(client, n) for n in range(1, 40)))
