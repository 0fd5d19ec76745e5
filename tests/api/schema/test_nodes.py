"""Objects by their ids, whatever their types: the fields node and nodes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from api.auth.scopes import Caller
from api.engine.operation_type import ANY
from api.engine.request import Request
from tests.api.in_memory_app import ALICE, Edge, edge, order_id
from tests.api.with_limits import with_limits

ORDER = order_id(ALICE, 1)
UNKNOWN = str(UUID(int=ALICE.int + 1))
USER_ROW = {"__typename": "User", "id": str(ALICE), "name": "Alice"}
ORDER_ROW = {"__typename": "Order", "id": ORDER, "total": "0.07"}
NODE = "{ __typename id ... on User { name } ... on Order { total } }"
QUERY = f"query($id: ID!) {{ node(id: $id) {NODE} }}"
NODES = f"query($ids: [ID!]!) {{ nodes(ids: $ids) {NODE} }}"


def put(made: Edge) -> None:
    made.reads.put(ALICE, "Alice")
    for total in (1_050, 7):
        made.reads.put_order(ALICE, "OPEN", total)


@pytest.mark.parametrize(
    ("id_", "row"),
    [(str(ALICE), USER_ROW), (str(ALICE).upper(), USER_ROW), (ORDER, ORDER_ROW), (UNKNOWN, None)],
)
async def test_an_object_is_found_by_its_id_whatever_its_type(id_: str, row: Any) -> None:
    async with edge() as made:
        put(made)
        for _ in range(2):  # by graphql-core, and by a plan
            assert await made.ask(QUERY, id=id_) == {"data": {"node": row}}
        assert made.executor.engine.execution_paths["plan"] == 1


async def test_objects_come_in_the_order_of_their_ids_with_null_for_one_that_does_not_exist() -> (
    None
):
    async with edge() as made:
        put(made)
        for _ in range(2):
            rows = (await made.ask(NODES, ids=[ORDER, UNKNOWN, str(ALICE), ORDER]))["data"]["nodes"]
            assert rows == [ORDER_ROW, None, USER_ROW, ORDER_ROW]
        assert (await made.ask(NODES, ids=[])) == {"data": {"nodes": []}}
        assert (await made.ask(NODES, ids=ORDER)) == {"data": {"nodes": [ORDER_ROW]}}


async def test_a_user_is_found_without_reading_all_partitions() -> None:
    async with edge() as made:
        put(made)
        before = made.reads.asked
        await made.ask(NODES, ids=[str(ALICE), str(ALICE)])
        assert made.reads.asked == before + 1


@pytest.mark.parametrize("ids", [["x"], [ORDER, ""], [str(ALICE)] * 101])
async def test_unusable_ids_are_bad_user_input(ids: list[str]) -> None:
    async with edge() as made:
        error = await made.error(NODES, ids=ids)
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": "ids"}


async def test_no_more_objects_are_fetched_than_a_page_has() -> None:
    async with edge(with_limits(page=2)) as made:
        assert (await made.error(NODES, ids=[UNKNOWN] * 3))["extensions"]["argument"] == "ids"
        assert (await made.ask(NODES, ids=[UNKNOWN] * 2)) == {"data": {"nodes": [None, None]}}


async def test_each_id_costs_a_read_of_each_type() -> None:
    text = "{ nodes(ids: %s) { id } }"
    async with edge() as made:
        for query, variables, cost in (
            (QUERY, {"id": ORDER}, 3),
            (NODES, {"ids": [UNKNOWN] * 7}, 21),
            (NODES, {"ids": [UNKNOWN] * 2}, 6),
            (NODES, {"ids": UNKNOWN}, 3),
            (text % f'["{UNKNOWN}", "{ORDER}"]', {}, 6),
            (text % f'"{UNKNOWN}"', {}, 3),
            (text % "[]", {}, 0),
        ):
            response = await made.post(query, variables=variables, extensions={"cost": True})
            assert response.json()["extensions"]["cost"] == cost


@pytest.mark.parametrize(
    ("query", "data", "path"),
    [(QUERY, {"node": None}, ["node"]), (NODES, {"nodes": [None]}, ["nodes", 0])],
)
async def test_without_the_scope_of_a_type_an_object_that_is_not_found_is_forbidden(
    query: str, data: Any, path: list[str | int]
) -> None:
    async with edge() as made:
        put(made)
        request = Request(query=query, variables={"id": ORDER, "ids": [ORDER]})
        for _ in range(2):
            executed = await made.executor.execute(request, ANY, Caller())
            response: Any = msgspec.json.decode(msgspec.json.encode(executed))
            [error] = response["errors"]
            assert (response["data"], error["path"]) == (data, path)
            assert error["extensions"] == {"code": "FORBIDDEN"}
            assert "users:read" in error["message"]
        assert made.reads.asked == 0
