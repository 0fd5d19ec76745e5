"""The cost of an operation is computed before execution, and above the budget it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    get_nullable_type,
    is_introspection_type,
    is_leaf_type,
    is_list_type,
)

from api.engine.cost.directives import all_partitions_of, list_size_of
from api.engine.cost.field_costs import FieldCosts
from api.engine.documents.document_cache import DocumentCache, PreparedDocument
from api.limits import Limits
from api.schema.merged import SCHEMA
from readside.redis_functions.keys import Keys, Partition
from tests.api.engine.worst_documents import EXECUTED
from tests.api.in_memory_app import ALICE, edge, order_id
from tests.api.users import put_users
from tests.api.with_limits import with_limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from readside.queries.reader import CommandsFor
    from readside.redis_connection.protocol import Replies
    from tests.api.in_memory_app import MemoryReads

CREATE = 'createUser(input: {name: "Alice", email: "alice@example.com"})'


def prepared(text: str) -> PreparedDocument:
    return DocumentCache(SCHEMA, Limits()).get(text)


def cost_of(document: PreparedDocument, **variables: Any) -> int:
    return document.operation(None).cost(document.values(variables)).cost


def cost_with(partitions: int, text: str) -> int:
    return cost_of(DocumentCache(SCHEMA, Limits(), partitions=partitions).get(text))


def cost(text: str, **variables: Any) -> int:
    return cost_of(prepared(text), **variables)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ __typename }", 0),
        ('{ user(id: "a") { id name email } }', 1),
        ('{ a: user(id: "a") { id } b: user(id: "b") { id } }', 2),
        ('{ userByEmail(email: "a@example.com") { id } }', 2),
        ("{ topCustomers { id } }", 10),
        ("{ topCustomers(first: 3) { id } }", 3),
        ("{ users(first: 5) { nodes { id } } }", 1 + 5),
        ("{ users(first: 5) { edges { cursor node { id } } } }", 1 + 5 * 2),
        ("{ users { nodes { id } pageInfo { endCursor } } }", 1 + 20 + 1),
        ("{ users(first: null) { nodes { id } } }", 1 + 20),
        ("{ users(last: 5) { nodes { id } } }", 1 + 5),
        ("{ users(last: 5, first: null) { nodes { id } } }", 1 + 5),
        ("{ users(last: 5, first: 7) { nodes { id } } }", 1 + 7),
        ("{ users(first: 5) { totalCount } }", 1 + 1),
        ("{ users(first: 5) { nodes { orders(first: 7) { nodes { id } } } } }", 1 + 5 * 9),
        (f"mutation {{ {CREATE} {{ id }} }}", 10),
        (f"mutation {{ {CREATE} {{ user {{ id }} errors {{ __typename }} }} }}", 10 + 1 + 5),
        ('subscription { userChanged(id: "a") { id } }', 1),
        ("{ __schema { types { name fields { name } } } }", 10),
    ],
)
def test_a_field_costs_its_weight_and_its_selection_times_the_length_of_its_list(
    text: str, expected: int
) -> None:
    assert cost(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ __typename }", 1),
        ('{ user(id: "a") { id name } }', 10 + 2),
        ('{ user(id: "a") { id id a: id __typename } }', 10 + 3),
        ("{ topCustomers(first: 3) { id name } }", 10 + 3 * 2),
        ("{ users(first: 5) { nodes { id } } }", 10 + 1 + 5),
        ("{ users(first: 5) { edges { cursor node { id } } } }", 10 + 1 + 5 * 3),
        ("{ users { nodes { id } pageInfo { endCursor } totalCount } }", 10 + 1 + 20 + 2 + 10),
        ("{ users(first: 5) { nodes { orders(first: 7) { nodes { id } } } } }", 11 + 5 * (11 + 7)),
        ('{ user(id: "a") { id @skip(if: true) name @include(if: true) } }', 10 + 1),
        (f"mutation {{ {CREATE} {{ id errors {{ __typename }} }} }}", 10 + 1 + 1 + 5),
        ("{ __schema { types { name fields { name } } } }", 3_000),
    ],
)
def test_the_fields_of_a_response_are_counted_times_the_length_of_their_list(
    text: str, expected: int
) -> None:
    document = prepared(text)
    assert document.operation(None).cost(document.values({})).fields == expected


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (f'{{ user(id: "{ALICE}") {{ orders {{ nodes {{ id }} totalCount }} }} }}', 0),
        ('{ userByEmail(email: "alice@example.com") { id } }', 1),
        ("{ users(first: 3) { nodes { id } } }", 1),
        ("{ users(last: 3, orderBy: NAME) { totalCount nodes { id } } }", 2),
        ("{ a: users { totalCount } b: users { pageInfo { hasNextPage } } }", 3),
        ("{ topCustomers(first: 7) { id } }", 1),
        (f'{{ node(id: "{order_id(ALICE, 0)}") {{ id }} }}', 1),
        (f'{{ nodes(ids: ["{order_id(ALICE, 0)}", "{order_id(ALICE, 1)}"]) {{ id }} }}', 2),
    ],
)
async def test_a_read_of_all_partitions_costs_more_above_eight_of_them(
    monkeypatch: pytest.MonkeyPatch, text: str, more: int
) -> None:
    costs = {number: cost_with(number, text) - cost(text) for number in (1, 8, 9, 12, 13, 1024)}
    assert costs == {1: 0, 8: 0, 9: more, 12: more, 13: 2 * more, 1024: 254 * more}
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        for _ in range(2):
            made.reads.put_order(ALICE, "OPEN", 100)
        scattered = count_reads_of_all_partitions(monkeypatch, made.reads)
        assert "errors" not in await made.ask(text)
    assert sum(scattered) == more


def count_reads_of_all_partitions(monkeypatch: pytest.MonkeyPatch, reads: MemoryReads) -> list[int]:
    """Returns a list that will have the number of keys of each. A second partition is empty."""
    counts: list[int] = []
    read_all, read_partitions = reads.read_all, reads.read_partitions

    async def counted_all(question: CommandsFor) -> list[Replies]:
        counts.append(len(question(Keys(Partition(0), "g"))))
        return await read_all(question)

    async def counted(questions: dict[int, CommandsFor]) -> dict[int, Replies]:
        if 1 not in questions:
            return await read_partitions(questions)
        counts.append(1)
        return await read_partitions({0: questions[0]}) | {1: [[]]}

    reads.partitions = range(2)
    monkeypatch.setattr(reads, "read_all", counted_all)
    monkeypatch.setattr(reads, "read_partitions", counted)
    return counts


def test_every_query_that_reads_all_partitions_says_so() -> None:
    assert SCHEMA.query_type is not None
    scattered = {
        name
        for name, field in SCHEMA.query_type.fields.items()
        if all_partitions_of(field) is not None
    }
    assert scattered == SCHEMA.query_type.fields.keys() - {"user"}


async def test_an_operation_of_too_many_fields_is_not_executed() -> None:
    query = "query($n: Int!) { users(first: $n) { nodes { id name } } }"
    async with edge(with_limits(response_fields=11 + 2 * 5)) as made:
        assert "errors" not in await made.ask(query, n=5)
        for _ in range(2):  # before there is a plan, and with it
            error = await made.error(query, n=6)
            assert error["extensions"] == {"code": "COST_LIMIT_EXCEEDED", "fields": 23, "limit": 21}
            assert "LIMIT_COST_BUDGET" in error["message"]
        assert made.outcomes == {("query", "ok"): 1, ("none", "COST_LIMIT_EXCEEDED"): 2}


@pytest.mark.parametrize("text", EXECUTED.values(), ids=EXECUTED)
async def test_a_response_has_no_more_fields_than_were_counted(text: Callable[[int], str]) -> None:
    query = text(9)
    async with edge(with_limits(cost_budget=100_000, response_fields=100_000)) as made:
        put_users(made.reads, 12, orders=12)
        response = await made.ask(query)
    schema = response["data"].pop("__schema", None) if response["data"] else None
    document = prepared(query)
    counted = document.operation(None).cost(document.values({})).fields
    assert fields_in(response["data"]) + (schema is not None) <= counted


def fields_in(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(fields_in, value))
    return len(value) + fields_in(list(value.values())) if isinstance(value, dict) else 0


def test_the_length_of_a_list_may_be_a_variable_and_its_default() -> None:
    assert cost("query($n: Int!) { topCustomers(first: $n) { id } }", n=7) == 7
    absent = "query($n: Int) { user(id: 1) { orders(first: $n) { nodes { id } } } }"
    assert cost(absent) == 1 + 1 + 20


def test_a_page_that_would_be_refused_costs_no_more_than_the_longest() -> None:
    assert cost("{ topCustomers(first: 2000000000) { id } }") == Limits().page
    assert cost("{ topCustomers(first: -2000000000) { id } }") == 0


def test_a_field_selected_twice_costs_once() -> None:
    once = "{ users(first: 5) { nodes { id } } }"
    twice = """{ users(first: 5) { nodes { id } ...Names } users(first: 5) { ...Names ...Names } }
        fragment Names on UserConnection { nodes { name } ... on UserConnection { nodes { id } } }"""
    assert cost(twice) == cost(once)


def test_a_skipped_field_costs_nothing() -> None:
    text = """query($yes: Boolean!) {
        a: user(id: 1) @include(if: $yes) { id } b: user(id: 2) @skip(if: $yes) { id } }"""
    assert cost(text, yes=True) == cost(text, yes=False) == 1
    assert cost("{ user(id: 1) @skip(if: true) { id } __typename }") == 0
    assert cost("{ user(id: 1) @include(if: true) { id } }") == 1


def test_the_most_expensive_type_of_a_union_counts() -> None:
    schema = build_schema("""
        type Query { pet: Pet } union Pet = Cat | Dog type Toy { name: String }
        type Cat { mouse: Toy ball: Toy } type Dog { bone: Toy }""")
    text = "{ pet { ... on Cat { mouse { name } ball { name } } ... on Dog { bone { name } } } }"
    assert cost_of(DocumentCache(schema, Limits()).get(text)) == 1 + 2


def test_a_fragment_is_visited_once_however_often_it_is_spread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []
    applies = FieldCosts.applies

    def counted(self: FieldCosts, condition: str, type_: GraphQLNamedType) -> bool:
        looked.append(condition)
        return applies(self, condition, type_)

    monkeypatch.setattr(FieldCosts, "applies", counted)
    spreads = [f"fragment F{n} on User {{ ...F{n + 1} ...F{n + 1} }}" for n in range(10)]
    document = " ".join(["{ user(id: 1) { ...F0 } }", *spreads, "fragment F10 on User { id }"])
    assert cost(document) == 1
    assert len(looked) == 11


def test_a_cost_is_computed_once_unless_a_variable_changes_it() -> None:
    fixed = prepared("query($id: ID!) { user(id: $id) { id } }")
    varying = prepared("query($n: Int!) { topCustomers(first: $n) { id } }")
    for number in (1, 2, 3):
        cost_of(fixed, id=str(number))
        cost_of(varying, n=number)
    assert [each.operation(None).costs.computed for each in (fixed, varying)] == [1, 3]


def test_a_hundred_costs_of_a_document_are_cached_however_many_operations_it_has() -> None:
    document = prepared(
        "query A($n: Int!) { topCustomers(first: $n) { id } } query B { topCustomers { id } }"
    )
    a, b = document.operation("A"), document.operation("B")
    b.cost({})
    for number in range(100):
        a.cost({"n": number})
    b.cost({})
    assert b.costs.computed == 1 + 100 + 1


def test_each_operation_of_a_document_has_its_cost() -> None:
    document = prepared('query A { user(id: "a") { id } } query B { topCustomers { id } }')
    assert [document.operation(name).cost({}).cost for name in ("A", "B", "A")] == [1, 10, 1]


def test_every_list_of_objects_declares_its_length() -> None:
    unsized = {
        f"{type_.name}.{name}"
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType))
        and not is_introspection_type(type_)
        for name, field in type_.fields.items()
        if _lists_objects(field) and list_size_of(field) is None
    }
    sized_by_the_field_above = {
        f"{connection}.{name}"
        for connection in ("UserConnection", "OrderConnection")
        for name in ("edges", "nodes")
    }
    assert unsized == sized_by_the_field_above


def _lists_objects(field: GraphQLField) -> bool:
    listed = is_list_type(get_nullable_type(field.type))
    return listed and not is_leaf_type(get_named_type(field.type))


async def test_an_operation_above_the_budget_is_not_executed() -> None:
    async with edge(Limits(cost_budget=10)) as made:
        made.reads.put(ALICE, "Alice")
        default = await made.error("query($n: Int! = 12) { topCustomers(first: $n) { id } }")
        assert default["extensions"]["cost"] == 12
        assert "errors" not in await made.ask("{ topCustomers(first: 10) { id } }")
        error = await made.error("query($n: Int!) { topCustomers(first: $n) { id } }", n=11)
        assert error["extensions"] == {"code": "COST_LIMIT_EXCEEDED", "cost": 11, "budget": 10}
        assert "costs 11" in error["message"]
        assert "LIMIT_COST_BUDGET" in error["message"]
        two = f"mutation {{ a: {CREATE} {{ id }} b: {CREATE} {{ id }} }}"
        assert (await made.error(two))["extensions"]["cost"] == 20
        assert made.store.commands == []


async def test_a_client_that_requests_the_cost_gets_it() -> None:
    async with edge() as made:
        query = "{ topCustomers(first: 3) { id } }"
        asked = await made.post(query, extensions={"cost": True})
        assert asked.json()["extensions"] == {"cost": 3}
        assert "extensions" not in (await made.post(query, extensions={"cost": "yes"})).json()
        assert "extensions" not in await made.ask(query)


ALIASES = " ".join(f"a{number}: name" for number in range(197))
MORE = " ".join(f"b{number}: name" for number in range(197))


@pytest.mark.parametrize(
    ("text", "charged"),
    [
        ("{ users(first: 100) { nodes { id } } }", 101),
        ("{ users(first: 100) { nodes { id name email version createdAt } } }", 101),
        (f"{{ users(first: 100) {{ nodes {{ {ALIASES} }} }} }}", (11 + 100 * 197) // 20),
        (f"mutation {{ {CREATE} {{ id user {{ {ALIASES} }} }} }}", 11),
        (
            f"mutation {{ {CREATE} {{ user {{ {ALIASES} {MORE} }} }} }}",
            20,
        ),
        ("{ __schema { types { name } } }", 150),
    ],
)
async def test_the_fields_of_a_response_are_part_of_the_cost_that_a_client_sees(
    text: str, charged: int
) -> None:
    async with edge() as made:
        for _ in range(3):  # by graphql-core, then by a plan
            response = await made.post(text, extensions={"cost": True})
            assert response.json()["extensions"] == {"cost": charged}
        stream = await made.post(
            text, extensions={"cost": True}, headers={"accept": "text/event-stream"}
        )
        assert f'"extensions":{{"cost":{charged}}}' in stream.text


async def test_a_stream_has_the_requested_cost_too() -> None:
    async with edge() as made:
        answer = await made.post(
            "{ topCustomers(first: 3) { id } }",
            extensions={"cost": True},
            headers={"accept": "text/event-stream"},
        )
        assert '"extensions":{"cost":3}' in answer.text
