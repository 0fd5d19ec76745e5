"""Schemathesis against a serving process: every response is valid, and every error has a code."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from graphql import GraphQLEnumType
from hypothesis import strategies as st
from schemathesis import GenerationMode, Response
from websockets.asyncio.client import ClientConnection, connect

from api.schema.merged import SCHEMA
from tests.acceptance.generated import Ids, Made, about, fields, for_each, hoisted, subscriptions
from tests.acceptance.service import Client
from tests.acceptance.test_processes import PROTOCOL, tandem
from tests.limited import limited
from tests.processes import HOST, free_port
from tests.stores import PARTITIONS

ERROR_CODES = SCHEMA.type_map["ErrorCode"]
assert isinstance(ERROR_CODES, GraphQLEnumType)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
CODES = {
    "BAD_USER_INPUT",
    "COST_LIMIT_EXCEEDED",
    "GRAPHQL_VALIDATION_FAILED",
    "READ_MODEL_BEHIND",
    *ERROR_CODES.values,
}
"""Those that say what is wrong with a request. No other may come, for both stores are there."""


@pytest.fixture
async def client(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    """Settings of a process that serves, and does not wait for versions that do not exist."""
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PARTITIONS": str(PARTITIONS)}
    port = free_port()
    async with tandem(tmp_path, "serve", port=port, READ_TIMEOUT="1", **stores) as (_, client):
        yield client


async def test_a_valid_operation_is_answered_or_refused_with_a_code(client: Client) -> None:
    for label, cases in fields(GenerationMode.POSITIVE).items():
        ids = await existing_ids(client, label)
        made = st.tuples(cases, st.booleans(), st.booleans(), st.sampled_from([JSON, RESPONSE]))
        ask = partial(send_valid, f"{client.http.base_url}/graphql", ids)
        await asyncio.to_thread(for_each, made, ask, times=15)


async def test_an_operation_with_a_mistake_is_refused_before_it_is_executed(client: Client) -> None:
    for label, cases in fields(GenerationMode.NEGATIVE).items():
        ids = await existing_ids(client, label)
        ask = partial(send_invalid, f"{client.http.base_url}/graphql", ids)
        await asyncio.to_thread(for_each, cases, ask, times=10)


async def test_a_subscription_is_answered_or_refused_with_a_code(client: Client) -> None:
    ids = await existing_ids(client, "subscription")
    texts: list[str] = []
    for_each(subscriptions(), texts.append, times=50)
    url = f"ws://{HOST}:{client.http.base_url.port}/graphql"
    async with connect(url, subprotocols=[PROTOCOL]) as socket, limited(30):
        await socket.send('{"type": "connection_init"}')
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        told = [
            message
            for number, text in enumerate([*texts, *(about(ids, text) for text in texts)])
            for message in await watch(socket, str(number), text)
        ]
    assert {message["type"] for message in told} == {"next", "error"}


async def existing_ids(client: Client, name: str) -> Ids:
    user = await client.create_user(email=f"{name}@example.com")
    return {"id": user, "userId": user, "orderId": await client.place_order(user)}


def send_valid(url: str, ids: Ids, made: tuple[Made, bool, bool, str]) -> None:
    case, exists, with_variables, accept = made
    text = about(ids, str(case.body)) if exists else str(case.body)
    query, variables = hoisted(text) if with_variables else (text, {})
    body = {"query": query, "variables": variables}
    judge(case.call(url, headers={"accept": accept}, json=body), accept)


def send_invalid(url: str, ids: Ids, case: Made) -> None:
    body = {"query": about(ids, str(case.body))}
    response = case.call(url, headers={"accept": RESPONSE}, json=body)
    judge(response, RESPONSE)
    assert "data" not in response.json()


def judge(response: Response, accept: str) -> None:
    """By GraphQL over HTTP: there is `data`, or there are errors with the status of a refusal."""
    answer = response.json()
    assert response.headers["content-type"] == [f"{accept}; charset=utf-8"]
    assert set(answer) <= {"data", "errors"}
    assert response.status_code == (200 if "data" in answer or accept == JSON else 400), answer
    assert "data" in answer or answer["errors"]
    judge_errors(answer.get("errors", []))


def judge_errors(errors: list[dict[str, Any]]) -> None:
    for error in errors:
        assert set(error) <= {"message", "locations", "path", "extensions"}
        assert error["extensions"]["code"] in CODES, error


def errors_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    match message:
        case {"type": "error", "payload": errors} | {"payload": {"errors": errors}}:
            return list(errors)
        case _:
            return []


async def watch(socket: ClientConnection, id_: str, text: str) -> list[dict[str, Any]]:
    """Returns the messages of an operation until a later one is answered; then ends it."""
    for name, query in ((id_, text), ("later", "{ users { totalCount } }")):
        message = {"type": "subscribe", "id": name, "payload": {"query": query}}
        await socket.send(json.dumps(message))
    told = []
    while (message := json.loads(await socket.recv())) != {"type": "complete", "id": "later"}:
        if message["id"] == "later":
            continue
        told.append(message)
        judge_errors(errors_of(message))
    await socket.send(json.dumps({"type": "complete", "id": id_}))
    return told
