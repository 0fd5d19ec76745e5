"""Stream tokens: issued for a bearer token, good once, for streams only; in a real Redis, and without it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from api.auth.stream_tokens import BURST, LIFETIME_SECONDS, StreamTokens
from api.runtime import drivers
from api.settings import Settings
from readside.redis_functions.keys import TANDEM
from tests.api.http.test_graphql_ws import INIT, PROTOCOL, closed, heard, subscribe, tell
from tests.api.in_memory_app import ALICE, Edge, edge, served
from tests.api.tokens import SECRET, bearer, claims, forged_with, signed, with_tokens
from tests.limited import limited
from tests.processes import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

PATH = "/graphql/stream-token"
WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ version }} }}'
READ = "{ users { totalCount } }"
CREATE = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'
STREAM = {"accept": "text/event-stream"}


@asynccontextmanager
async def issuing(redis_url: str) -> AsyncIterator[tuple[Edge, Redis]]:
    async with drivers.redis_for_functions(Settings(redis_url=redis_url)) as redis:
        access = replace(with_tokens(), stream_tokens=StreamTokens(redis, TANDEM))
        async with edge(access=access) as made:
            made.reads.put(ALICE, "Alice")
            yield made, redis


async def issued(made: Edge, **claims: Any) -> str:
    response = await made.client.post(PATH, headers=bearer(signed(**claims)))
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    token: str = response.json()["access_token"]
    return token


async def get(made: Edge, token: str, query: str = READ, **headers: str) -> httpx.Response:
    parameters = {"query": query, "access_token": token}
    return await made.client.get("/graphql", params=parameters, headers=headers or STREAM)


async def test_a_token_opens_one_stream(redis_url: str) -> None:
    async with issuing(redis_url) as (made, redis):
        token = await issued(made)
        [key] = await redis.keys("tandem:stream-token:*")
        assert token not in key
        assert 0 < await redis.ttl(key) <= LIFETIME_SECONDS
        assert '"totalCount":1' in (await get(made, token)).text
        assert await redis.keys("tandem:stream-token:*") == []
        again = await get(made, token)
        assert again.status_code == 401
        assert again.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_of_many_requests_with_one_token_one_succeeds(redis_url: str) -> None:
    async with issuing(redis_url) as (made, _):
        token = await issued(made)
        responses = await asyncio.gather(*(get(made, token) for _ in range(20)))
        assert sorted(each.status_code for each in responses) == [200] + [401] * 19


async def test_a_token_is_issued_for_a_valid_bearer_token_only(redis_url: str) -> None:
    async with issuing(redis_url) as (made, redis):
        for headers in ({}, bearer("garbage"), bearer(signed(exp=time.time() - 60))):
            response = await made.client.post(PATH, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Bearer")
        response = await made.client.post(f"{PATH}?access_token={await issued(made)}")
        assert response.status_code == 401
        assert (await made.client.get(PATH, headers=bearer(signed()))).status_code == 405
        assert len(await redis.keys("tandem:stream-token:*")) == 1


async def test_without_authentication_there_is_no_endpoint() -> None:
    async with edge() as made:
        assert (await made.client.post(PATH)).status_code == 404


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json", "*/*"])
async def test_a_token_is_for_streams_only(redis_url: str, accept: str) -> None:
    async with issuing(redis_url) as (made, _):
        token = await issued(made)
        assert (await get(made, token, accept=accept)).status_code == 401
        for query in (READ, CREATE):
            response = await made.client.post(
                f"/graphql?access_token={token}", json={"query": query}, headers={"accept": accept}
            )
            assert response.status_code == 401
        assert '"totalCount":1' in (await get(made, token)).text  # it was not used up
        assert made.store.commands == []


async def test_a_token_executes_no_mutation(redis_url: str) -> None:
    async with issuing(redis_url) as (made, _):
        response = await get(made, await issued(made), CREATE)
        assert response.status_code == 405
        token = await issued(made)
        response = await made.client.post(
            f"/graphql?access_token={token}", json={"query": CREATE}, headers=STREAM
        )
        assert "FORBIDDEN" in response.text
        async with socketed(made, await issued(made)) as connected:
            assert await heard(connected) == {"type": "connection_ack"}
            await subscribe(connected, CREATE)
            assert "FORBIDDEN" in json.dumps(await heard(connected))
        assert made.store.commands == []


@asynccontextmanager
async def socketed(made: Edge, token: str, **payload: str) -> AsyncIterator[Any]:
    async with (
        served(made.app) as host,
        connect(f"ws://{host}/graphql?access_token={token}", subprotocols=[PROTOCOL]) as connected,
    ):
        await tell(connected, {**INIT, "payload": payload} if payload else INIT)
        yield connected


async def test_a_token_opens_one_websocket(redis_url: str) -> None:
    async with issuing(redis_url) as (made, _):
        token = await issued(made)
        async with socketed(made, token) as connected:
            assert await heard(connected) == {"type": "connection_ack"}
            await subscribe(connected, WATCH)
            assert (await heard(connected))["payload"] == {"data": {"userChanged": {"version": 1}}}
        async with socketed(made, token) as connected:
            assert (await closed(connected))[0] == 4403
        async with socketed(made, await issued(made), Authorization=f"Bearer {signed()}") as both:
            assert (await closed(both))[0] == 4403


@pytest.mark.parametrize(
    "parameters",
    [
        "access_token=",
        "access_token={0}&access_token={0}",
        "access_token={0}x",
        "access_token=x{0}",
    ],
)
async def test_another_parameter_is_refused(redis_url: str, parameters: str) -> None:
    async with issuing(redis_url) as (made, _):
        url = f"/graphql?query={READ}&{parameters.format(await issued(made))}"
        assert (await made.client.get(url, headers=STREAM)).status_code == 401


@pytest.mark.parametrize("token", ["a" * 5_000, "%00", "..%2f", "tandem:0", "é", "*", "{{0}}"])
async def test_a_hostile_token_is_refused(redis_url: str, token: str) -> None:
    async with issuing(redis_url) as (made, _):
        await issued(made)
        url = f"/graphql?query={READ}&access_token={token}"
        assert (await made.client.get(url, headers=STREAM)).status_code == 401


async def test_a_subject_that_is_not_unicode_is_no_obstacle(redis_url: str) -> None:
    async with issuing(redis_url) as (made, _):
        header = bearer(forged_with(SECRET.encode(), {"alg": "HS256"}, claims(sub="\ud800")))
        response = await made.client.post(PATH, headers=header)
        assert '"totalCount":1' in (await get(made, response.json()["access_token"])).text


async def test_a_token_beside_the_header_is_refused(redis_url: str) -> None:
    async with issuing(redis_url) as (made, _):
        response = await get(made, await issued(made), **STREAM, **bearer(signed()))
        assert response.status_code == 401


async def test_a_stream_has_the_scopes_of_the_bearer_token(redis_url: str) -> None:
    async with issuing(redis_url) as (made, _):
        response = await get(made, await issued(made, scope="users:write"))
        assert "FORBIDDEN" in response.text


async def test_a_stream_ends_when_the_bearer_token_expires(redis_url: str) -> None:
    async with issuing(redis_url) as (made, redis):
        token = await issued(made, exp=time.time() + 2)
        [key] = await redis.keys("tandem:stream-token:*")
        assert await redis.ttl(key) <= 2
        async with (
            served(made.app) as address,
            httpx.AsyncClient(base_url=f"http://{address}", headers=STREAM) as client,
            limited(10),
            client.stream(
                "GET", "/graphql", params={"query": WATCH, "access_token": token}
            ) as response,
        ):
            found = await response.aread()
        assert b'"version":1' in found
        assert b"UNAUTHENTICATED" in found


async def test_a_token_is_not_logged(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with issuing(redis_url) as (made, _):
        token = await issued(made)
        with capture_logs() as logs:
            async with served(made.app) as address:
                url = f"http://{address}/graphql"
                async with httpx.AsyncClient(headers=STREAM, trust_env=False) as client:
                    logging.getLogger("httpx").setLevel(logging.WARNING)
                    logging.getLogger("httpcore").setLevel(logging.WARNING)
                    for query in ("{", READ, READ):
                        await client.get(url, params={"query": query, "access_token": token})
        assert len(logs) == 3
        assert token not in str(logs)
        assert token not in caplog.text


async def test_a_caller_gets_a_limited_number_of_tokens(redis_url: str) -> None:
    async with issuing(redis_url) as (made, redis):
        headers = bearer(signed())
        statuses = [
            (await made.client.post(PATH, headers=headers)).status_code
            for _ in range(int(BURST) * 3)
        ]
        assert statuses[: int(BURST)] == [200] * int(BURST)
        assert 429 in statuses
        await issued(made, sub="bob@example.com")
        assert len(await redis.keys("tandem:stream-token:*")) <= statuses.count(200) + 1


async def test_callers_without_a_subject_are_distinguished_by_their_address(redis_url: str) -> None:
    async with issuing(redis_url) as (made, redis):
        for address in ("192.0.2.1", "192.0.2.2"):
            transport = httpx.ASGITransport(made.app, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://tandem") as client:
                response = await client.post(PATH, headers=bearer(signed(sub=None)))
            assert response.status_code == 200
            assert await redis.exists(f"tandem:rate:stream-token:{address}")


async def test_without_redis_no_token_is_issued_and_none_accepted() -> None:
    url = f"redis://{HOST}:{free_port()}"
    async with drivers.redis_for_rate_limits(Settings(redis_url=url)) as redis:
        access = replace(with_tokens(), stream_tokens=StreamTokens(redis, TANDEM))
        async with edge(access=access) as made:
            response = await made.client.post(PATH, headers=bearer(signed()))
            assert response.status_code == 503
            [error] = response.json()["errors"]
            assert error["extensions"]["code"] == "READ_MODEL_UNAVAILABLE"
            assert (await get(made, "abc")).status_code == 503
