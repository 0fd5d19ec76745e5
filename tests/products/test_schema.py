"""The GraphQL schema of users and products together."""

from __future__ import annotations

import subprocess
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from graphql import GraphQLUnionType, find_breaking_changes, validate_schema

from api.auth.scopes import Caller
from api.engine.execution.configuration import EngineConfiguration
from api.engine.execution.executor import Executor
from api.engine.operation_type import MUTATIONS, QUERIES, SUBSCRIPTIONS
from api.engine.request import Request
from api.engine.stream_position import StreamPosition
from api.errors import RequestError
from api.limits import Limits
from api.resolvers.context import Context
from api.schema import users
from api.schema.merged import SCHEMA, build
from readside.redis_functions.keys import Keys, Partition
from tests.api.in_memory_app import ALICE, MemoryReads, ScriptedStore
from tests.processes import ROOT
from tests.products import schema as products
from tests.products.domain.commands import CreateProduct
from tests.products.domain.refusals import SkuTaken

if TYPE_CHECKING:
    from domain.write.store import Store
    from readside.queries.reader import ReadModel

MERGED = build([users, products])

CREATE = """mutation { createProduct(input: {sku: "A-1", name: "Ant", price: "1.50"}) {
    id version product { sku } errors { __typename ... on CommandError { code path } } } }"""
WATCH = 'subscription { productChanged(id: "019b0c9e-7d4e-7bbb-8a51-000000000000") { sku } }'
FOLLOW = f'subscription {{ productChanged(id: "{ALICE}", afterVersion: 7) {{ sku }} }}'
READ = f'{{ product(id: "{ALICE}") {{ sku price version }} }}'


class Edge:
    """Executes operations on the merged schema, with a store and a read model in memory."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.store, self.reads = ScriptedStore(), MemoryReads()
        key = Keys(Partition(0), "g").document("product", ALICE)
        self.reads.hashes[key] = {
            "version": "1",
            "sku": "A-1",
            "name": "Ant",
            "price": "150",
            **dict.fromkeys(("createdAt", "updatedAt"), "2026-01-02T03:04:05.678Z"),
        }
        context = Context(store=cast("Store", self.store), read_model=cast("ReadModel", self.reads))
        configuration = EngineConfiguration(limits=limits or Limits())
        self.executor = Executor(MERGED.core, MERGED.schema_converter, context, configuration)

    async def ask(self, query: str, *scopes: str) -> Any:
        caller = Caller(scopes=frozenset(scopes or ("products:read", "products:write")))
        request = Request(query=query)
        response = await self.executor.execute(request, QUERIES | MUTATIONS, caller)
        return msgspec.json.decode(msgspec.json.encode(response))


def test_the_merged_schema_is_valid_and_breaks_nothing_of_the_users() -> None:
    assert validate_schema(MERGED.core) == []
    assert find_breaking_changes(SCHEMA, MERGED.core) == []
    for root, field in (
        (MERGED.core.query_type, "products"),
        (MERGED.core.mutation_type, "createProduct"),
        (MERGED.core.subscription_type, "productChanged"),
    ):
        assert root is not None
        assert (
            (root.fields[field].description or "").partition("Scope: ")[2].startswith("products:")
        )


def test_a_refusal_that_a_mutation_names_is_in_its_union_alone() -> None:
    unions = {
        name: {member.name for member in type_.types}
        for name, type_ in MERGED.core.type_map.items()
        if isinstance(type_, GraphQLUnionType)
    }
    expected = {"SkuTaken", "InvalidInput", "IdempotencyKeyReused"}
    assert unions["CreateProductError"] == expected
    assert [name for name, members in unions.items() if "SkuTaken" in members] == [
        "CreateProductError"
    ]


async def test_a_refusal_of_a_product_is_data_with_its_code() -> None:
    edge = Edge()
    edge.store.outcome = SkuTaken()
    response = await edge.ask(CREATE)
    [error] = response["data"]["createProduct"]["errors"]
    assert error == {"__typename": "SkuTaken", "code": "SKU_TAKEN", "path": ["input", "sku"]}


async def test_a_product_is_created_and_read_in_the_payload() -> None:
    edge = Edge()
    response = await edge.ask(CREATE)
    assert response["data"]["createProduct"]["product"] == {"sku": "A-1"}
    [command] = edge.store.commands
    assert isinstance(command, CreateProduct)
    assert (command.sku, command.name, command.price) == ("A-1", "Ant", 150)
    read = await edge.ask(READ)
    assert read == {"data": {"product": {"sku": "A-1", "price": "1.50", "version": 1}}}


async def test_a_product_is_found_among_the_objects_of_all_types() -> None:
    read = f'{{ node(id: "{ALICE}") {{ id ... on Product {{ sku }} }} }}'
    assert await Edge().ask(read, "users:read", "products:read") == {
        "data": {"node": {"id": str(ALICE), "sku": "A-1"}}
    }
    assert await Edge().ask(read, "products:read") == await Edge().ask(
        read, "users:read", "products:read"
    )
    [error] = (await Edge().ask(read, "users:read"))["errors"]
    assert error["extensions"] == {"code": "FORBIDDEN"}
    assert MERGED.core.query_type is not None
    assert "User, Product; then" in (MERGED.core.query_type.fields["node"].description or "")


@pytest.mark.parametrize(("query", "scope"), [(READ, "products:read"), (CREATE, "products:write")])
async def test_the_scopes_of_users_do_not_allow_products(query: str, scope: str) -> None:
    edge = Edge()
    response = await edge.ask(query, "users:read", "users:write", "users:erase")
    [error] = response["errors"]
    assert error["extensions"] == {"code": "FORBIDDEN"}
    assert scope in error["message"]
    assert edge.store.commands == []


async def test_a_subscription_to_a_product_that_does_not_exist_ends_with_its_code() -> None:
    edge = Edge()
    edge.reads.without_lag = "g"
    request = Request(query=WATCH)
    caller = Caller(scopes=frozenset({"products:read"}))
    with pytest.raises(RequestError) as caught:
        await anext(edge.executor.stream(request, SUBSCRIPTIONS, caller))
    [error] = caught.value.errors
    assert error["extensions"] == {"code": "PRODUCT_NOT_FOUND"}


async def test_a_subscription_to_a_product_resumes_and_says_how_far_it_is() -> None:
    request, caller = Request(query=FOLLOW), Caller(scopes=frozenset({"products:read"}))
    position = StreamPosition(0)
    stream = Edge().executor.stream(request, SUBSCRIPTIONS, caller, position)
    async with aclosing(stream) as results:
        assert "errors" not in await anext(results)
    assert (position.after, position.last) == (0, 1)


async def test_costs_and_limits_apply_to_the_fields_of_products() -> None:
    with pytest.raises(RequestError, match="above the budget") as caught:
        await Edge(Limits(cost_budget=50)).ask("{ products(first: 51) { id } }")
    [error] = caught.value.errors
    assert error["extensions"]["code"] == "COST_LIMIT_EXCEEDED"
    response = await Edge().ask("{ products(first: 101) { id } }")
    [error] = response["errors"]
    assert error["extensions"]["argument"] == "first"


def test_two_aggregates_with_the_same_field_are_refused_in_one_sentence() -> None:
    with pytest.raises(TypeError, match="Two aggregates have a field user in Query"):
        build([users, users])


def test_a_process_that_adds_the_aggregate_first_has_its_schema_and_scopes() -> None:
    program = """
from tests.products.install import install
install()
from api.auth.scopes import ALL_SCOPES, UNRESTRICTED
from api.schema.merged import sdl
assert "products:write" in ALL_SCOPES and "products:erase" in UNRESTRICTED.scopes
assert "createProduct(" in sdl() and "createUser(" in sdl()
"""
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
