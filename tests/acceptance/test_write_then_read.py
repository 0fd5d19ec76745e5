"""Guarantees to a client, from the mutation to the query."""

from __future__ import annotations

import asyncio

import pytest

from tests.acceptance.service import Client

USER = """
    query($id: ID!, $minVersion: Int) {
        user(id: $id, minVersion: $minVersion) {
            id name email createdAt updatedAt version orderCount lifetimeValue
        }
    }
"""


async def test_a_created_user_can_be_read_by_the_id_the_mutation_answered(client: Client) -> None:
    created = await client.data(
        'mutation { createUser(input: {name: "Alice", email: "alice@example.com"}) { id version } }'
    )
    answer = await client.data(USER, id=created["createUser"]["id"], minVersion=1)
    user = answer["user"]
    assert user["id"] == created["createUser"]["id"]
    assert (user["name"], user["email"], user["version"]) == ("Alice", "alice@example.com", 1)
    assert user["createdAt"] == user["updatedAt"]
    assert user["createdAt"].endswith("Z")
    assert (user["orderCount"], user["lifetimeValue"]) == (0, "0.00")


async def test_a_payload_shows_the_user_in_the_version_the_command_made(client: Client) -> None:
    user_id = await client.create_user()
    for number in range(2, 12):
        renamed = await client.data(
            """mutation($input: RenameUserInput!) {
                renameUser(input: $input) { version user { name version } }
            }""",
            input={"userId": user_id, "name": f"Alice {number}"},
        )
        payload = renamed["renameUser"]
        assert payload == {
            "version": number,
            "user": {"name": f"Alice {number}", "version": number},
        }


async def test_completed_orders_count_towards_the_lifetime_value_exactly(client: Client) -> None:
    user_id = await client.create_user()
    for total in ("0.10", "0.20", "99999.99"):
        await client.complete_order(await client.place_order(user_id, total))
    cancelled = await client.place_order(user_id, "7")
    await client.data(
        "mutation($input: CancelOrderInput!) { cancelOrder(input: $input) { user { id } } }",
        input={"orderId": cancelled},
    )
    user = (await client.data(USER, id=user_id))["user"]
    assert (user["orderCount"], user["lifetimeValue"]) == (4, "100000.29")


async def test_orders_are_paged_newest_first(client: Client) -> None:
    user_id = await client.create_user()
    placed = [await client.place_order(user_id, f"{number}.00") for number in range(1, 6)]
    seen, after = [], None
    for _ in range(3):
        answer = await client.data(
            """query($id: ID!, $after: String) { user(id: $id) { orders(first: 2, after: $after) {
                nodes { id status } pageInfo { hasNextPage endCursor } } } }""",
            id=user_id,
            after=after,
        )
        orders = answer["user"]["orders"]
        seen += [node["id"] for node in orders["nodes"]]
        after = orders["pageInfo"]["endCursor"]
    assert seen == placed[::-1]
    assert orders["pageInfo"]["hasNextPage"] is False


async def test_users_are_paged_newest_first_over_all_partitions(client: Client) -> None:
    created = [await client.create_user(f"User {n}", f"user{n}@example.com") for n in range(25)]
    seen, after, pages = [], None, 0
    while pages == 0 or after:
        answer = await client.data(
            """query($after: String) { users(first: 10, after: $after) {
                totalCount edges { cursor node { id } } pageInfo { hasNextPage endCursor } } }""",
            after=after,
        )
        users = answer["users"]
        assert users["totalCount"] == 25
        seen += [edge["node"]["id"] for edge in users["edges"]]
        after = users["pageInfo"]["endCursor"] if users["pageInfo"]["hasNextPage"] else None
        pages += 1
    assert sorted(seen) == sorted(created)
    assert seen == sorted(seen, reverse=True)
    assert pages == 3


async def test_top_customers_are_those_of_the_highest_lifetime_value(client: Client) -> None:
    totals = {"a": "5.00", "b": "500.00", "c": "50.00"}
    for name, total in totals.items():
        user_id = await client.create_user(name, f"{name}@example.com")
        await client.complete_order(await client.place_order(user_id, total))
    await client.create_user("no order", "none@example.com")
    answer = await client.data("{ topCustomers(first: 2) { name lifetimeValue } }")
    assert answer["topCustomers"] == [
        {"name": "b", "lifetimeValue": "500.00"},
        {"name": "c", "lifetimeValue": "50.00"},
    ]


async def test_a_user_is_found_by_the_present_address_in_any_case(client: Client) -> None:
    user_id = await client.create_user(email="Alice@Example.com")
    by_email = "query($email: EmailAddress!) { userByEmail(email: $email) { id email } }"
    found = await client.data(by_email, email="ALICE@example.COM")
    assert found["userByEmail"] == {"id": user_id, "email": "Alice@example.com"}
    await client.data(
        """mutation($input: UpdateUserEmailInput!) {
            updateUserEmail(input: $input) { user { email } } }""",
        input={"userId": user_id, "email": "alice@example.org"},
    )
    assert (await client.data(by_email, email="alice@example.com"))["userByEmail"] is None
    assert (await client.data(by_email, email="alice@example.org"))["userByEmail"]["id"] == user_id


async def test_an_erased_user_is_gone_and_the_address_is_free_again(client: Client) -> None:
    user_id = await client.create_user()
    order_id = await client.place_order(user_id)
    await client.complete_order(order_id)
    erased = await client.data(
        "mutation($input: EraseUserInput!) { eraseUser(input: $input) { version user { id } } }",
        input={"userId": user_id},
    )
    assert erased["eraseUser"] == {"version": 4, "user": None}
    answer = await client.data(
        """query($id: ID!) { user(id: $id) { id } users { totalCount } topCustomers { id }
            userByEmail(email: "alice@example.com") { id } }""",
        id=user_id,
    )
    assert answer == {
        "user": None,
        "users": {"totalCount": 0},
        "topCustomers": [],
        "userByEmail": None,
    }
    assert await client.create_user() != user_id


async def test_the_same_key_answers_the_first_answer_again(client: Client) -> None:
    create = "mutation($input: CreateUserInput!) { createUser(input: $input) { id version } }"
    given = {"name": "Alice", "email": "alice@example.com", "idempotencyKey": "key-1"}
    answers = await asyncio.gather(*(client.data(create, input=given) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    await client.data(USER, id=answers[0]["createUser"]["id"], minVersion=1)
    assert (await client.data("{ users { totalCount } }"))["users"]["totalCount"] == 1
    other = await client.code(create, input={**given, "name": "Bob"})
    assert other == "IDEMPOTENCY_KEY_REUSED"


async def test_a_version_that_does_not_exist_yet_is_a_typed_error_and_not_older_data(
    impatient: Client,
) -> None:
    user_id = await impatient.create_user()
    assert await impatient.code(USER, id=user_id, minVersion=2) == "READ_MODEL_BEHIND"


@pytest.mark.parametrize("first", [0, 101, -1])
async def test_a_page_has_1_to_100_entries(client: Client, first: int) -> None:
    code = await client.code("query($n: Int!) { users(first: $n) { totalCount } }", n=first)
    assert code == "BAD_USER_INPUT"
