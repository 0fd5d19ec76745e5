"""The statuses of the draft of GraphQL over HTTP of August 2026, with HTTP_PROFILE=strict."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from api.http.graphql_http import Profile
from api.limits import Limits
from tests.api.in_memory_app import edge, served

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
HELLO = "{ __typename }"
TWO = "query A { __typename } query B { __typename }"
COUNT = "query($n: Int!) { users(first: $n) { totalCount } }"
CREATE = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'
PARTIAL = "{ __typename users(first: 0) { totalCount } }"


def body(query: str, **more: Any) -> bytes:
    return json.dumps({"query": query, **more}).encode()


BODIES = [
    (body(HELLO), 200, 200, 200),
    (body("{"), 200, 400, 400),
    (body(""), 200, 400, 400),
    (body("{ nothing }"), 200, 400, 422),
    (body(TWO), 200, 400, 422),
    (body(TWO, operationName="C"), 200, 400, 422),
    (body(COUNT), 200, 400, 422),
    (body(COUNT, variables={"n": "1"}), 200, 400, 422),
    (body(PARTIAL), 200, 200, 294),
    (body("{ users(first: 0) { totalCount } }"), 200, 200, 294),
    (b"{", 400, 400, 400),
    (b"\xff", 400, 400, 400),
    (b"{}", 400, 400, 422),
    (b"[]", 400, 400, 422),
    (b'{"qeury": "{ __typename }"}', 400, 400, 422),
    (body(HELLO, variables=[7]), 400, 400, 422),
]
"""A body, and its status in JSON, in the media type of GraphQL, and there in the strict profile."""


@pytest.mark.parametrize(("content", "in_json", "compatible", "strict"), BODIES)
async def test_a_body_gets_the_status_of_its_profile(
    content: bytes, in_json: int, compatible: int, strict: int
) -> None:
    wanted: dict[Profile, int] = {"compatible": compatible, "strict": strict}
    for profile, status in wanted.items():
        async with edge(http_profile=profile) as made:
            for media, expected in ((JSON, in_json), (RESPONSE, status)):
                headers = {"content-type": JSON, "accept": media}
                for _ in range(2):  # the second time out of the memory of documents
                    response = await made.client.post("/graphql", content=content, headers=headers)
                    assert (profile, media, response.status_code) == (profile, media, expected)
                    assert response.headers["content-type"] == f"{media}; charset=utf-8"


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"qeury": HELLO}, 422),
        ({"query": COUNT, "variables": "[7]"}, 422),
        ({"query": COUNT, "variables": "{"}, 400),
        ({"query": COUNT}, 422),
        ({"query": "{"}, 400),
    ],
)
async def test_a_url_gets_the_strict_status_too(params: dict[str, str], status: int) -> None:
    async with edge(http_profile="strict") as made:
        headers = {"accept": RESPONSE}
        response = await made.client.get("/graphql", params=params, headers=headers)
        assert response.status_code == status


@pytest.mark.parametrize("profile", ["compatible", "strict"])
@pytest.mark.parametrize("accept", [JSON, RESPONSE])
async def test_some_statuses_hold_in_every_profile(profile: Profile, accept: str) -> None:
    async with edge(Limits(body_bytes=200), http_profile=profile) as made:
        client, typed = made.client, {"accept": accept}
        put = await client.put("/graphql", headers=typed)
        mutation = await client.get("/graphql", params={"query": CREATE}, headers=typed)
        assert {put.headers["allow"], mutation.headers["allow"]} == {"POST, GET"}
        picture = await made.post(HELLO, headers={"accept": "image/png"})
        text = await client.post("/graphql", content=body(HELLO), headers=typed)
        long = await made.post(HELLO + " " * 200, headers=typed)
        found = [answer.status_code for answer in (put, mutation, picture, text, long)]
        assert found == [405, 405, 406, 415, 413]


async def test_the_server_can_say_294() -> None:
    async with (
        edge(http_profile="strict") as made,
        served(made.app) as address,
        httpx.AsyncClient(base_url=f"http://{address}", headers={"accept": RESPONSE}) as client,
    ):
        response = await client.post("/graphql", json={"query": PARTIAL})
        assert (response.status_code, response.json()["data"]) == (294, None)
