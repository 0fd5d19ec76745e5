"""Users by a filter or in an order: which arguments go together, and what cursors of which list."""

from __future__ import annotations

from typing import Any

import pytest

from api.resolvers.pagination import encode_cursor
from domain.users.values import MAX_DECOMPOSED_LENGTH
from tests.api.in_memory_app import ALICE, Edge, edge
from tests.api.users import put_users

PAGE = "{ totalCount nodes { name } pageInfo { startCursor endCursor hasNextPage } }"
USERS = (
    "query($filter: UserFilter, $orderBy: UserOrder,"
    " $first: Int, $after: String, $last: Int, $before: String)"
    " { users(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before)"
    f" {PAGE} }}"
)
EVERY: dict[str, dict[str, Any]] = {
    "nothing": {},
    "nulls": {"filter": {"email": None, "nameStartsWith": None}, "orderBy": None},
    "an empty filter": {"filter": {}},
    "CREATED_AT": {"orderBy": "CREATED_AT"},
    "NAME": {"orderBy": "NAME"},
    "LIFETIME_VALUE": {"orderBy": "LIFETIME_VALUE"},
    "an empty beginning": {"filter": {"nameStartsWith": ""}},
    "blanks": {"filter": {"nameStartsWith": "  "}},
    "a beginning": {"filter": {"nameStartsWith": "u"}},
}
"""All of these select the same users."""
EMAIL = {"filter": {"email": " U1@Example.com "}}


async def page(made: Edge, **variables: Any) -> Any:
    return (await made.ask(USERS, **variables))["data"]["users"]


@pytest.mark.parametrize("given", EVERY)
async def test_every_selection_is_paged_forward_and_backward(given: str) -> None:
    async with edge() as made:
        put_users(made.reads, 5)
        whole = await page(made, **EVERY[given])
        assert (whole["totalCount"], len(whole["nodes"])) == (5, 5)
        start = await page(made, **EVERY[given], first=2)
        after = start["pageInfo"]["endCursor"]
        rest = await page(made, **EVERY[given], first=9, after=after)
        back = await page(made, **EVERY[given], last=9, before=rest["pageInfo"]["startCursor"])
        assert start["nodes"] + rest["nodes"] == whole["nodes"]
        assert back["nodes"] == start["nodes"]
        assert made.executor.engine.execution_paths["plan"]


async def test_an_address_is_found_in_any_letter_case_and_has_a_cursor() -> None:
    async with edge() as made:
        put_users(made.reads, 5)
        found = await page(made, **EMAIL)
        assert (found["totalCount"], len(found["nodes"])) == (1, 1)
        after = await page(made, **EMAIL, after=found["pageInfo"]["endCursor"])
        assert (after["totalCount"], after["nodes"]) == (1, [])
        empty = await page(made, filter={"email": "unknown@example.com"})
        assert (empty["totalCount"], empty["nodes"]) == (0, [])


@pytest.mark.parametrize(
    "given",
    [
        {"filter": {"nameStartsWith": "A", "email": "a@example.com"}},
        {"filter": {"nameStartsWith": "A"}, "orderBy": "NAME"},
        {"filter": {"nameStartsWith": ""}, "orderBy": "CREATED_AT"},
        {"filter": {"email": "a@example.com"}, "orderBy": "CREATED_AT"},
        {"filter": {"email": "a@example.com", "nameStartsWith": ""}, "orderBy": "LIFETIME_VALUE"},
    ],
)
async def test_a_filter_and_an_order_together_are_refused_in_one_sentence(
    given: dict[str, Any],
) -> None:
    async with edge() as made:
        for _ in range(2):
            error = await made.error(USERS, **given)
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": "filter"}
            assert error["message"] == (
                "filter: Give one of nameStartsWith, email and orderBy: no index has two of them."
            )


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({"nameStartsWith": "a" * (MAX_DECOMPOSED_LENGTH + 1)}, "filter.nameStartsWith"),
        *(
            ({"nameStartsWith": f"A{character}"}, "filter.nameStartsWith")
            for character in ("\0", "\t", "\n", "\x7f", "\x80", "\U0010ffff")
        ),
        ({"email": "unknown"}, "filter.email"),
        ({"email": ""}, "filter.email"),
    ],
)
async def test_a_value_that_no_user_can_have_is_refused(
    given: dict[str, str], argument: str
) -> None:
    async with edge() as made:
        error = await made.error(USERS, filter=given)
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}


@pytest.mark.parametrize("order", ["ID", "name", "", 1])
async def test_an_order_without_an_index_is_not_in_the_schema(order: Any) -> None:
    async with edge() as made:
        error = await made.error(USERS, orderBy=order)
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_cursor_is_accepted_in_its_own_list_alone() -> None:
    async with edge() as made:
        put_users(made.reads, 5)
        lists: list[dict[str, Any]] = [
            {},
            *({"orderBy": order} for order in ("NAME", "LIFETIME_VALUE")),
            EMAIL,
        ]
        cursors = [(await page(made, **given, first=1))["pageInfo"]["endCursor"] for given in lists]
        for number, given in enumerate(lists):
            for other, cursor in enumerate(cursors):
                response = await made.ask(USERS, **given, after=cursor)
                assert ("errors" in response) == (number != other), (given, cursor)
        name = cursors[1]
        assert "errors" not in await made.ask(USERS, filter={"nameStartsWith": "u"}, after=name)
        for start in ("v", "users", "user 9"):
            error = await made.error(USERS, filter={"nameStartsWith": start}, before=name)
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": "before"}


@pytest.mark.parametrize(
    "position",
    [
        *("", "name:", "name:\t", f"name:ann{ALICE}", f"name:ann {ALICE}", f"ann\t{ALICE}"),
        *(f"name:ann\t{str(ALICE)[1:]}x", f"name:ann\n{ALICE}", f"names:ann\t{ALICE}", str(ALICE)),
    ],
)
async def test_a_text_that_is_no_position_is_no_cursor(position: str) -> None:
    async with edge() as made:
        error = await made.error(USERS, orderBy="NAME", after=encode_cursor(position))
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": "after"}


@pytest.mark.parametrize(
    "position", [f"name:\t{ALICE}", f"name:a\tb\t{ALICE}", f"name:\U0010ffff\t{ALICE}"]
)
async def test_any_key_is_a_position(position: str) -> None:
    async with edge() as made:
        put_users(made.reads, 5)
        response = await made.ask(USERS, orderBy="NAME", after=encode_cursor(position))
        assert "errors" not in response
