"""A running service and its client, for tests that speak GraphQL only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from api.roles import Role
from api.runtime.background import cancel_all
from api.runtime.composition import compose
from api.settings import Settings
from tests.limited import limited

REBUILDING = "READ_MODEL_REBUILDING"


class Client:
    """Sends operations; every answer is the whole JSON object."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def send(self, query: str, **variables: object) -> dict[str, Any]:
        response = await self.http.post("/graphql", json={"query": query, "variables": variables})
        answer: dict[str, Any] = response.json()
        return answer

    async def data(self, query: str, **variables: object) -> dict[str, Any]:
        """The data of an operation that must have no error."""
        answer = await self.send(query, **variables)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    async def code(self, query: str, **variables: object) -> str:
        """The code of the one error that an operation must have."""
        [error] = (await self.send(query, **variables))["errors"]
        code: str = error["extensions"]["code"]
        return code

    async def create_user(self, name: str = "Alice", email: str = "alice@example.com") -> str:
        created = await self.data(
            "mutation($input: CreateUserInput!) { createUser(input: $input) { id user { id } } }",
            input={"name": name, "email": email},
        )
        user_id: str = created["createUser"]["id"]
        return user_id

    async def place_order(self, user_id: str, total: str = "12.50") -> str:
        placed = await self.data(
            "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { id user { id } } }",
            input={"userId": user_id, "total": total},
        )
        order_id: str = placed["placeOrder"]["id"]
        return order_id

    async def complete_order(self, order_id: str) -> None:
        await self.data(
            "mutation($input: CompleteOrderInput!) { completeOrder(input: $input) { user { id } } }",
            input={"orderId": order_id},
        )

    async def until_built(self) -> None:
        """Waits until every partition is served."""
        async with limited(20):
            while "errors" in (answer := await self.send("{ users { totalCount } }")):
                assert {error["extensions"]["code"] for error in answer["errors"]} == {REBUILDING}
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    settings: Settings, roles: frozenset[Role] = frozenset(Role)
) -> AsyncIterator[Client]:
    """The service with these roles, in this event loop, until it is left; its loops must not fall."""
    async with compose(settings, roles) as service:
        tasks = [asyncio.create_task(loop(), name=name) for name, loop in service.loops.items()]
        transport = httpx.ASGITransport(app=service.apps[0])
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                client = Client(http)
                if Role.PROJECTOR in roles:
                    await client.until_built()
                yield client
        finally:
            fallen = [task for task in tasks if task.done()]
            await cancel_all(tasks)
            assert not fallen, fallen
