"""gql for Python, a third-party client, against the whole service behind a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

from tests.acceptance.test_processes import tandem
from tests.limited import limited
from tests.processes import HOST, free_port
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gql.transport import AsyncTransport

CREATE = gql("mutation($input: CreateUserInput!) { createUser(input: $input) { id version } }")
RENAME = gql("mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }")
READ = gql("query($id: ID!, $v: Int) { user(id: $id, minVersion: $v) { name version } }")
WATCH = gql("subscription($id: ID!) { userChanged(id: $id) { name version } }")
WRONG = gql("{ nothing }")


@pytest.fixture
async def address(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[str]:
    """Of a process that serves, with everything in it."""
    port = free_port()
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PARTITIONS": str(PARTITIONS)}
    async with tandem(tmp_path, "serve", port=port, **stores):
        yield f"{HOST}:{port}"


def transports(address: str) -> dict[str, AsyncTransport]:
    return {
        "http": HTTPXAsyncTransport(url=f"http://{address}/graphql"),
        "ws": WebsocketsTransport(url=f"ws://{address}/graphql"),
    }


async def ask(session: Any, document: Any, **variables: Any) -> Any:
    document.variable_values = variables
    return await session.execute(document)


@pytest.mark.parametrize("way", ["http", "ws"])
async def test_gql_mutates_and_queries(address: str, way: str) -> None:
    async with Client(transport=transports(address)[way]) as session:
        person = {"name": "Alice", "email": "alice@example.com"}
        created = (await ask(session, CREATE, input=person))["createUser"]
        found = await ask(session, READ, id=created["id"], v=created["version"])
        assert found == {"user": {"name": "Alice", "version": 1}}
        with pytest.raises(TransportQueryError) as refused:
            await ask(session, WRONG)
        assert refused.value.errors is not None
        assert refused.value.errors[0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


async def test_gql_watches_a_user_that_it_changes_meanwhile(address: str) -> None:
    async with Client(transport=transports(address)["ws"]) as session, limited(20):
        person = {"name": "Alice", "email": "alice@example.com"}
        user = (await ask(session, CREATE, input=person))["createUser"]["id"]
        WATCH.variable_values = {"id": user}
        told = []
        async for change in session.subscribe(WATCH):
            told.append(change["userChanged"])
            if len(told) == 3:
                break
            name = f"Alice {len(told)}"
            await ask(session, RENAME, input={"userId": user, "name": name})
        assert told == [
            {"name": "Alice", "version": 1},
            {"name": "Alice 1", "version": 2},
            {"name": "Alice 2", "version": 3},
        ]
