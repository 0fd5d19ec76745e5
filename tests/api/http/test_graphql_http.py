"""GraphQL over HTTP: statuses, media types, methods, and bodies of every kind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from api.limits import Limits
from tests.api.in_memory_app import ALICE, edge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
HELLO = "{ __typename }"
TWO = "query A { a: __typename } query B { b: __typename }"
CREATE = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'
WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ id }} }}'


def code(response: Any) -> str:
    """The one code of all errors of a response."""
    [found] = {error["extensions"]["code"] for error in response.json()["errors"]}
    return str(found)


async def test_a_query_is_executed_over_post_and_get() -> None:
    async with edge() as made:
        posted = await made.post(HELLO)
        got = await made.client.get("/graphql", params={"query": HELLO})
        assert posted.json() == got.json() == {"data": {"__typename": "Query"}}
        assert posted.headers["content-type"] == got.headers["content-type"]
        assert posted.headers["content-type"] == "application/json; charset=utf-8"


async def test_get_takes_variables_and_an_operation_name() -> None:
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        query = "query A($id: ID!) { user(id: $id) { name } } query B { __typename }"
        params = {"query": query, "variables": json.dumps({"id": str(ALICE)}), "operationName": "A"}
        response = await made.client.get("/graphql", params=params)
        assert response.json() == {"data": {"user": {"name": "Alice"}}}


@pytest.mark.parametrize(
    ("request_", "status", "expected"),
    [
        ({"query": "{"}, 400, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nothing }"}, 400, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": TWO}, 400, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": TWO, "operationName": "C"}, 400, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": HELLO, "operationName": ""}, 400, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "query($n: Int!) { users(first: $n) { totalCount } }"}, 400, "BAD_USER_INPUT"),
        ({"query": "{ users(first: 0) { totalCount } }"}, 200, "BAD_USER_INPUT"),
    ],
)
async def test_a_request_error_is_400_in_the_media_type_made_for_it_and_200_in_json(
    request_: dict[str, Any], status: int, expected: str
) -> None:
    async with edge() as made:
        strict = await made.post(**request_, headers={"accept": RESPONSE})
        legacy = await made.post(**request_, headers={"accept": JSON})
        assert (strict.status_code, code(strict)) == (status, expected)
        assert (legacy.status_code, code(legacy)) == (200, expected)
        assert strict.json() == legacy.json()
        assert ("data" in strict.json()) == (status == 200)


@pytest.mark.parametrize("media", [JSON, RESPONSE])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"1",
        b"null",
        b"[]",
        b'[{"query": "{ __typename }"}]',
        b'"{ __typename }"',
        b"{",
        b"{}",
        b'{"query": null}',
        b'{"query": 1}',
        b'{"query": ["{ __typename }"]}',
        b'{"query": "{ __typename }", "variables": []}',
        b'{"query": "{ __typename }", "variables": "{}"}',
        b'{"query": "{ __typename }", "operationName": 1}',
        b'{"query": "{ __typename }", "extensions": 1}',
        b'{"query": "{ __typename }", "variables": {"a": NaN}}',
        b'{"query": "{ __typename }", "variables": {"a": 1e999}}',
        b'{"query": "\\ud800"}',
        b'{"query": "{ __typename }", "variables": {"a": "\\udfff"}}',
        b'{"query": "\xed\xa0\x80"}',
        b'{"query": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
        b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 20_000,
    ],
)
async def test_a_body_that_is_no_request_is_a_bad_request(body: bytes, media: str) -> None:
    async with edge() as made:
        headers = {"content-type": JSON, "accept": media}
        response = await made.client.post("/graphql", content=body, headers=headers)
        assert (response.status_code, code(response)) == (400, "BAD_REQUEST")
        assert response.headers["content-type"] == f"{media}; charset=utf-8"


@pytest.mark.parametrize(
    "query_string",
    [
        "",
        "query=",
        "variables={}",
        "query={__typename}&variables=[]",
        "query={__typename}&variables={",
        "query={__typename}&extensions=1",
        "query=%ff",
        "query=%ED%A0%80",
        "query={__typename}&" + "a=1&" * 1_000,
        "query={__typename}&query={__typename}",
        "query={__typename}&%71uery={users{totalCount}}",
        "query={__typename}&variables=&variables={}",
        "query={__typename}&documentId=a&documentId=",
    ],
)
async def test_a_url_that_is_no_request_is_a_bad_request(query_string: str) -> None:
    async with edge() as made:
        response = await made.client.get(f"/graphql?{query_string}")
        assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "foreign",
    [
        "&".join(f"utm_{number}=a" for number in range(25)),
        "utm_source=a&utm_source=b",
        "utm_source=%E9",
        "Query=a&operation_name=b&query%20=c",
        "&&a&=b&==",
    ],
)
async def test_other_parameters_of_a_url_do_not_matter(foreign: str) -> None:
    async with edge() as made:
        response = await made.client.get(f"/graphql?{foreign}&query={HELLO}&{foreign}")
        assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json; charset=utf-16"])
async def test_another_content_type_is_415(content_type: str | None) -> None:
    async with edge() as made:
        headers = {} if content_type is None else {"content-type": content_type}
        body = b'{"query": "{ __typename }"}'
        response = await made.client.post("/graphql", content=body, headers=headers)
        assert (response.status_code, code(response)) == (415, "BAD_REQUEST")


async def test_a_response_of_no_accepted_media_type_is_406() -> None:
    async with edge() as made:
        response = await made.post(HELLO, headers={"accept": "image/png"})
        assert (response.status_code, code(response)) == (406, "BAD_REQUEST")


async def test_accept_may_come_in_several_headers() -> None:
    async with edge() as made:
        headers = [("accept", "image/png"), ("accept", RESPONSE), ("accept", "text/plain")]
        response = await made.client.post("/graphql", json={"query": HELLO}, headers=headers)
        assert response.headers["content-type"] == f"{RESPONSE}; charset=utf-8"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_another_method_is_405_and_says_which_are_allowed(method: str) -> None:
    async with edge() as made:
        response = await made.client.request(method, "/graphql")
        assert (response.status_code, code(response)) == (405, "BAD_REQUEST")
        assert response.headers["allow"] == "POST, GET"


async def test_a_mutation_over_get_is_405_and_is_not_carried_out() -> None:
    async with edge() as made:
        for accept in (JSON, RESPONSE, "text/event-stream"):
            response = await made.client.get(
                "/graphql", params={"query": CREATE}, headers={"accept": accept}
            )
            assert (response.status_code, code(response)) == (405, "BAD_REQUEST")
        assert made.store.commands == []


async def test_a_subscription_needs_a_stream() -> None:
    async with edge() as made:
        for response in (
            await made.post(WATCH),
            await made.client.get("/graphql", params={"query": WATCH}),
        ):
            assert (response.status_code, code(response)) == (400, "BAD_REQUEST")
        assert made.reads.listeners == set()


async def test_a_body_is_counted_while_it_arrives() -> None:
    sent: list[bytes] = []

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            sent.append(b" " * 1_000)
            yield sent[-1]

    async with edge(Limits(body_bytes=10_000)) as made:
        headers = {"content-type": JSON}
        response = await made.client.post("/graphql", content=endless(), headers=headers)
        assert (response.status_code, code(response)) == (413, "BAD_REQUEST")
        assert len(sent) == 11


async def test_a_body_that_declares_to_be_too_long_is_not_read() -> None:
    async with edge(Limits(body_bytes=10)) as made:
        response = await made.post(HELLO)
        assert (response.status_code, code(response)) == (413, "BAD_REQUEST")
        assert response.headers["connection"] == "close"


async def test_a_browser_gets_the_page_unless_it_sends_a_query() -> None:
    html = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with edge() as made:
        page = await made.client.get("/graphql", headers=html)
        assert page.headers["content-type"].startswith("text/")
        answer = await made.client.get("/graphql", params={"query": HELLO}, headers=html)
        assert answer.json() == {"data": {"__typename": "Query"}}


async def test_introspection_and_the_schema_as_text_are_served() -> None:
    async with edge() as made:
        assert (await made.ask("{ __schema { queryType { name } } }"))["data"]
        schema = await made.client.get("/schema.graphql")
        assert "type Query" in schema.text
        assert (await made.client.get("/livez")).status_code == 200
