"""Hostile requests get the errors of the table, over HTTP in both media types, and over WebSocket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.engine.hostile_documents import (
    BAD,
    BODIES,
    DOCUMENTS,
    PARSE,
    Document,
    encoded,
    subscribe,
)
from tests.api.http.test_graphql_ws import closed, connected, heard
from tests.api.in_memory_app import ALICE, Edge, edge

if TYPE_CHECKING:
    import httpx

    from api.http.graphql_http import Profile

JSON = "application/json"
RESPONSE = "application/graphql-response+json"

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
each_body = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)


async def post(made: Edge, body: bytes, accept: str) -> httpx.Response:
    headers = {"content-type": JSON, "accept": accept}
    return await made.client.post("/graphql", content=body, headers=headers)


def codes(response: dict[str, Any]) -> set[str]:
    return {error["extensions"]["code"] for error in response.get("errors", [])}


def status(document: Document, profile: Profile) -> int:
    """Returns the status of the response in application/graphql-response+json."""
    if document.code is None:
        return 200
    if document.executed:
        return 294 if profile == "strict" else 200
    return 422 if profile == "strict" and document.code != PARSE else 400


def test_the_table_is_long_and_names_nothing_twice() -> None:
    names = [document.name for document in DOCUMENTS]
    assert len(set(names)) == len(names) >= 60
    assert len(BODIES) >= 20


@each_document
@pytest.mark.parametrize("profile", ["compatible", "strict"])
async def test_a_hostile_document_gets_its_code_over_http(
    document: Document, profile: Profile
) -> None:
    async with edge(http_profile=profile) as made:
        made.reads.put(ALICE, "Alice")
        for accept, expected in ((RESPONSE, status(document, profile)), (JSON, 200)):
            response = await post(made, encoded(document), accept)
            answer = response.json()
            assert (response.status_code, codes(answer)) == (
                expected,
                {document.code} - {None},
            )
            assert ("data" in answer) == (document.executed or document.code is None)
        assert made.store.commands == []


@each_document
async def test_a_hostile_document_gets_its_code_over_websocket(document: Document) -> None:
    async with connected() as (made, socket):
        made.reads.put(ALICE, "Alice")
        await socket.send(subscribe(encoded(document)), text=True)
        message = await heard(socket)
        if document.executed or document.code is None:
            assert message["type"] == "next"
            assert codes(message["payload"]) == {document.code} - {None}
            message = await heard(socket)
            assert message == {"type": "complete", "id": "1"}
        else:
            assert message["type"] == "error"
            assert codes({"errors": message["payload"]}) == {document.code}
        assert made.store.commands == []


@each_body
async def test_a_hostile_body_is_a_bad_request_over_http(body: bytes) -> None:
    async with edge() as made:
        for accept in (RESPONSE, JSON):
            response = await post(made, body, accept)
            assert (response.status_code, codes(response.json())) == (400, {BAD})


@each_body
async def test_a_hostile_payload_closes_a_websocket_with_the_code_of_the_protocol(
    body: bytes,
) -> None:
    async with connected() as (_, socket):
        await socket.send(subscribe(body), text=True)
        code, _ = await closed(socket)
        assert code == (4400 if _is_text(body) else 1007)


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


async def test_a_hostile_document_leaves_the_service_unchanged() -> None:
    async with edge() as made:
        for body in (*map(encoded, DOCUMENTS), *BODIES.values()):
            assert (await post(made, body, RESPONSE)).status_code < 500
        assert json.loads((await made.post("{ __typename }")).content)["data"]
