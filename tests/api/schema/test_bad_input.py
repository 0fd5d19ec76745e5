"""Bad input gets a typed error that names the field, and nothing is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.users.commands.create_user import CreateUser
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.values import Email
from tests.api.in_memory_app import ALICE, edge

COMMANDS = {
    "createUser": {"name": "Alice", "email": "alice@example.com"},
    "updateUserEmail": {"userId": str(ALICE), "email": "alice@example.com"},
    "renameUser": {"userId": str(ALICE), "name": "Alice"},
    "placeOrder": {"userId": str(ALICE), "total": "12.50"},
    "completeOrder": {"orderId": str(ALICE)},
    "cancelOrder": {"orderId": str(ALICE)},
    "eraseUser": {"userId": str(ALICE)},
}
IDS = ["", "1", "x", "\x00", "019b0c9e", str(ALICE) + "0", "' or 1=1 --", "a" * 10_000]
NAMES = [
    "",
    "   ",
    "a" * 101,
    "a\x00b",
    "a\nb",
    "a\x1bb",
    "\u200b\x07",
    "a\u202eb",
    "\ufeffa",
    "\u3164",
]
EMAILS = [
    "",
    "alice",
    "alice@",
    "@example.com",
    "alice@@example.com",
    "a b@example.com",
    "alice@example.com\x00",
    "alice @example.com",
    "a" * 300 + "@example.com",
    "a@" + "b" * 300 + ".com",
    "alice@localhost",
]
TOTALS = ["", "0", "0.00", "-1", "1.234", "NaN", "Infinity", "1e3", "12,50", " 1", "٣", "9" * 40]
KEYS = ["", "k" * 201, "a\x00", "a\nb"]

BAD = [
    *(("createUser", "name", name) for name in NAMES),
    *(("renameUser", "name", name) for name in NAMES),
    *(("createUser", "email", email) for email in EMAILS),
    *(("updateUserEmail", "email", email) for email in EMAILS),
    *(("placeOrder", "total", total) for total in TOTALS),
    *(("renameUser", "userId", id_) for id_ in IDS),
    *(("eraseUser", "userId", id_) for id_ in IDS),
    *(("completeOrder", "orderId", id_) for id_ in IDS),
    *((command, "idempotencyKey", key) for command in COMMANDS for key in KEYS),
]


@pytest.mark.parametrize(("command", "field", "value"), BAD)
async def test_an_unusable_value_is_refused_by_its_name(
    command: str, field: str, value: str
) -> None:
    type_ = command[0].upper() + command[1:] + "Input"
    query = f"mutation($input: {type_}!) {{ {command}(input: $input) {{ id }} }}"
    async with edge() as made:
        error = await made.error(query, input={**COMMANDS[command], field: value})
        assert error["extensions"] == {"code": "INVALID_INPUT", "path": ["input", field]}
        assert made.store.commands == []


@pytest.mark.parametrize(
    ("command", "field", "value"),
    [
        ("placeOrder", "total", 12.5),
        ("placeOrder", "total", 12),
        ("placeOrder", "total", None),
        ("placeOrder", "total", {"amount": "12.50"}),
        ("createUser", "email", 1),
        ("createUser", "email", ["alice@example.com"]),
        ("createUser", "name", 1),
        ("createUser", "nickname", "Al"),
        ("renameUser", "expectedVersion", "1"),
        ("renameUser", "expectedVersion", 2**31),
        ("renameUser", "expectedVersion", 1.5),
        ("renameUser", "userId", None),
        ("renameUser", "userId", True),
        ("eraseUser", "idempotencyKey", 5),
    ],
)
async def test_a_value_of_another_type_is_bad_user_input(
    command: str, field: str, value: object
) -> None:
    type_ = command[0].upper() + command[1:] + "Input"
    query = f"mutation($input: {type_}!) {{ {command}(input: $input) {{ id }} }}"
    async with edge() as made:
        error = await made.error(query, input={**COMMANDS[command], field: value})
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert field in error["message"]
        assert made.store.commands == []


@pytest.mark.parametrize("total", ["12.5", "12", "true", "{amount: 1}", "null", "X", '["1"]'])
async def test_money_is_never_a_number_in_a_document_either(total: str) -> None:
    given = f'{{userId: "{ALICE}", total: {total}}}'
    async with edge() as made:
        error = await made.error(f"mutation {{ placeOrder(input: {given}) {{ id }} }}")
        assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert made.store.commands == []


async def test_the_blanks_around_an_email_address_are_ignored_wherever_one_is_given() -> None:
    padded = "\u3000 alice@example.com\t\n"
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        for command in ("createUser", "updateUserEmail"):
            type_ = command[0].upper() + command[1:] + "Input"
            query = f"mutation($input: {type_}!) {{ {command}(input: $input) {{ id }} }}"
            await made.ask(query, input={**COMMANDS[command], "email": padded})
        found = await made.ask(
            "query($e: EmailAddress!) { userByEmail(email: $e) { name } }", e=padded
        )
    create, update = made.store.commands
    assert isinstance(create, CreateUser)
    assert isinstance(update, UpdateUserEmail)
    assert create.email == update.email == Email("alice@example.com", "alice@example.com")
    assert found == {"data": {"userByEmail": {"name": "Alice"}}}


async def test_a_stored_name_that_no_command_accepts_any_more_is_still_returned() -> None:
    async with edge() as made:
        made.reads.put(ALICE, "Al\u202eice\U000e0041")
        assert await made.ask(f'{{ user(id: "{ALICE}") {{ name }} }}') == {
            "data": {"user": {"name": "Al\u202eice\U000e0041"}}
        }


QUERIES = [
    *(("id", f"user(id: {json.dumps(id_)}) {{ id }}") for id_ in IDS),
    *(("email", f"userByEmail(email: {json.dumps(email)}) {{ id }}") for email in EMAILS),
    *(("first", f"users(first: {first}) {{ totalCount }}") for first in (0, -1, 101, 1000)),
    *(("first", f"topCustomers(first: {first}) {{ id }}") for first in (0, -1, 101)),
    *(
        ("after", f"users(after: {json.dumps(after)}) {{ totalCount }}")
        for after in ("", "x", "MQ", "é", "\x00", "=" * 9, "a" * 9_999, "////", "MTIz\n")
    ),
    ("minVersion", f'user(id: "{ALICE}", minVersion: -1) {{ id }}'),
]


@pytest.mark.parametrize(("argument", "field"), QUERIES)
async def test_an_unusable_argument_of_a_query_is_bad_user_input_by_its_name(
    argument: str, field: str
) -> None:
    async with edge() as made:
        error = await made.error(f"{{ {field} }}")
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}
        assert error["message"].startswith(f"{argument}: ")


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("first", "first: 0"),
        ("first", "first: 101"),
        ("last", "last: 0"),
        ("last", "last: 101"),
        ("last", "first: 20, last: 1"),
        ("before", 'before: "x"'),
        ("after", 'after: "x"'),
        ("after", 'after: "LTE"'),
        ("after", 'after: "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"'),
    ],
)
async def test_an_unusable_argument_of_a_users_orders_is_bad_user_input(
    argument: str, arguments: str
) -> None:
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        query = f'{{ user(id: "{ALICE}") {{ orders({arguments}) {{ totalCount }} }} }}'
        error = await made.error(query)
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}


@pytest.mark.parametrize("value", ["x", 1.5, 2**31, None, [1], {}, True])
async def test_a_variable_of_another_type_is_bad_user_input(value: Any) -> None:
    async with edge() as made:
        query = "query($first: Int!) { users(first: $first) { totalCount } }"
        error = await made.error(query, first=value)
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}
        assert "$first" in error["message"]


async def test_deep_variables_are_bad_user_input() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = {"a": deep}
    async with edge() as made:
        query = "query($first: Int!) { users(first: $first) { totalCount } }"
        error = await made.error(query, first=deep)
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_no_suggestion_for_a_variable_reveals_the_schema() -> None:
    create = "mutation($input: CreateUserInput!) { createUser(input: $input) { id } }"
    async with edge() as made:
        answer = await made.ask(create, input={"nam": "Alice", "email": "alice@example.com"})
        messages = [error["message"] for error in answer["errors"]]
        assert any("'nam'" in message for message in messages)
        assert not any("Did you mean" in message for message in messages)


async def test_an_unknown_id_is_no_user() -> None:
    async with edge() as made:
        assert await made.ask(f'{{ user(id: "{ALICE}") {{ id }} }}') == {"data": {"user": None}}
