"""Users by name, address and lifetime value, from the mutation to the page, in one partition and in eight."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from domain.migrate import migrate
from tests.acceptance.service import Client, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.settings import Settings

PAGE = (
    "query($filter: UserFilter, $orderBy: UserOrder,"
    " $first: Int, $after: String, $last: Int, $before: String)"
    " { users(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before)"
    " { totalCount nodes { id name lifetimeValue } pageInfo { startCursor endCursor hasNextPage } } }"
)
NAMES = ["Bea", "ann lee", "Ann", "ANN", "Änne", "Zoë", "Straße", "\U0001f600", "[x", "ann"]
VALUES = {"Bea": "0.30", "ann lee": "999999999.99", "Ann": "1000.00", "Zoë": "0.30"}


@pytest.fixture(params=[1, 8])
async def client(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """A client of a service with so many partitions, and some users."""
    partitions: int = request.param
    changed = settings.model_copy(update={"partitions": partitions})
    async with AsyncExitStack() as stack:
        if partitions != settings.partitions:
            connection = await asyncpg.connect(str(settings.database_url))
            await connection.execute("drop schema public cascade; create schema public")
            await migrate(connection, partitions)
            await connection.close()
        client = await stack.enter_async_context(running(changed))
        for number, name in enumerate(NAMES):
            user = await client.create_user(name, f"user{number}@example.com")
            if name in VALUES:
                await client.complete_order(await client.place_order(user, VALUES[name]))
        yield client


async def pages(client: Client, size: int = 3, **given: Any) -> list[dict[str, str]]:
    """The users of all pages, forward; those of the pages backward must be the same."""
    forward: list[dict[str, str]] = []
    backward: list[dict[str, str]] = []
    after, before = None, None
    while True:
        page = (await client.data(PAGE, first=size, after=after, **given))["users"]
        forward += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    while page := (await client.data(PAGE, last=size, before=before, **given))["users"]:
        backward = page["nodes"] + backward
        before = page["pageInfo"]["startCursor"]
        if before is None:
            break
    assert backward == forward
    assert page["totalCount"] == len(forward)
    return forward


async def names(client: Client, **given: Any) -> list[str]:
    return [user["name"] for user in await pages(client, **given)]


async def test_users_are_found_and_sorted_by_each_index(client: Client) -> None:
    by_name = ["[x", "Ann", "ANN", "ann", "ann lee", "Bea", "Straße", "Zoë", "Änne", "\U0001f600"]
    assert await names(client) == NAMES[::-1]
    assert await names(client, orderBy="CREATED_AT") == NAMES[::-1]
    assert await names(client, orderBy="NAME") == by_name
    assert await names(client, filter={"nameStartsWith": ""}) == by_name
    by_value = [name for name in reversed(NAMES) if name not in VALUES]
    assert await names(client, orderBy="LIFETIME_VALUE") == [
        *("ann lee", "Ann", "Zoë", "Bea"),
        *by_value,
    ]
    for start, found in {
        "aNN": ["Ann", "ANN", "ann", "ann lee"],
        "ann ": ["ann lee"],
        "A\u0308": ["Änne"],
        "STRASS": ["Straße"],
        "[": ["[x"],
        "\U0001f600": ["\U0001f600"],
        "x": [],
    }.items():
        assert await names(client, filter={"nameStartsWith": start}) == found
    assert await names(client, filter={"email": "USER2@EXAMPLE.COM"}) == ["Ann"]
    assert await names(client, filter={"email": "unknown@example.com"}) == []


async def test_what_changes_is_found_where_it_is_then(client: Client) -> None:
    """The payload's user waits for the version, and so for all read models of it."""
    users = {user["name"]: user["id"] for user in await pages(client)}
    page = (await client.data(PAGE, orderBy="NAME", first=3))["users"]
    for name, new in (("Ann", "zz"), ("Bea", "Ab")):
        await client.data(
            "mutation($input: RenameUserInput!) { renameUser(input: $input) { user { name } } }",
            input={"userId": users[name], "name": new},
        )
    await client.data(
        "mutation($input: EraseUserInput!) { eraseUser(input: $input) { user { id } } }",
        input={"userId": users["ann"]},
    )
    after = page["pageInfo"]["endCursor"]
    rest = (await client.data(PAGE, orderBy="NAME", after=after))["users"]["nodes"]
    assert [user["name"] for user in rest] == [
        *("ann lee", "Straße", "Zoë", "zz", "Änne", "\U0001f600")
    ]
    assert await names(client, filter={"nameStartsWith": "ANN"}) == ["ANN", "ann lee"]
    assert await names(client, filter={"nameStartsWith": "ab"}) == ["Ab"]
    assert await names(client, filter={"email": "user9@example.com"}) == []
    await client.complete_order(await client.place_order(users["Bea"], "0.01"))
    assert (await names(client, orderBy="LIFETIME_VALUE"))[:4] == ["ann lee", "zz", "Ab", "Zoë"]
    top = "{ topCustomers(first: 9) { name } }"
    found = (await client.data(top))["topCustomers"]
    assert [user["name"] for user in found] == ["ann lee", "zz", "Ab", "Zoë"]
