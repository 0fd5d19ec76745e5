"""Automatic persisted queries: documents that clients register in Redis, with bounds, and name by hash."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from api.auth.access import Access
from api.auth.rate_limit import RateLimiter
from api.engine.documents import registered
from api.engine.documents.registered import RegisteredDocuments
from api.engine.documents.trusted import TrustedDocuments
from api.limits import Limits
from api.runtime import drivers
from api.settings import Settings
from readside.redis_functions.keys import Namespace
from tests.api.http.test_graphql_ws import INIT, PROTOCOL, heard, tell
from tests.api.in_memory_app import ALICE, Edge, edge, served
from tests.api.tokens import bearer, signed, with_tokens
from tests.api.with_limits import with_limits
from tests.limited import limited
from tests.processes import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

TEXT = "{ __typename }"
ANSWER = {"data": {"__typename": "Query"}}
CREATE = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'
WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ id }} }}'
NOT_FOUND = {
    "message": "PersistedQueryNotFound",
    "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
}
PREFIX = "tandem:{documents}:"
REGISTER = TrustedDocuments(mode="register")
STREAMS = ("text/event-stream", "multipart/mixed;subscriptionSpec=1.0,application/json")
MULTIPART = {"accept": STREAMS[1]}


def hash_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def apq(text: str, **fields: Any) -> dict[str, Any]:
    """The request with the hash of this text, without the text."""
    extension = {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}
    return {"extensions": extension, **fields}


class CountedDocuments(RegisteredDocuments):
    """Counts the requests to Redis."""

    requests = 0

    async def _request(self, *words: object) -> object:
        self.requests += 1
        return await super()._request(*words)


@asynccontextmanager
async def redis_at(url: str) -> AsyncIterator[Redis]:
    async with drivers.redis_for_functions(Settings(redis_url=url)) as redis:
        yield redis


@asynccontextmanager
async def process(
    url: str,
    *,
    limits: Limits | None = None,
    burst: float = 100,
    namespace: str = "tandem",
    now: list[float] | None = None,
    trusted: TrustedDocuments = REGISTER,
    **options: Any,
) -> AsyncIterator[tuple[Edge, CountedDocuments]]:
    """One process of the service, with the documents of all processes at this Redis."""
    limits = limits or Limits()
    async with redis_at(url) as redis:
        named = Namespace(namespace)
        rate = RateLimiter(redis, per_second=0.001, burst=burst, namespace=named)
        clock = {} if now is None else {"clock": lambda: now[0]}
        documents = CountedDocuments(redis, rate, limits, namespace=named, **clock)
        async with edge(limits, trusted, registered=documents, **options) as made:
            made.reads.put(ALICE, "Alice")
            yield made, documents


async def post(made: Edge, request: object, **headers: str) -> Any:
    return (await made.client.post("/graphql", json=request, headers=headers)).json()


async def get(made: Edge, request: dict[str, Any]) -> Any:
    texts = {name: v if isinstance(v, str) else json.dumps(v) for name, v in request.items()}
    return (await made.client.get("/graphql", params=texts)).json()


async def is_registered(url: str, text: str) -> bool:
    async with redis_at(url) as redis:
        return await redis.get(PREFIX + hash_of(text)) == text


@pytest.mark.parametrize("send", [post, get])
async def test_a_document_is_found_by_every_process_once_one_has_registered_it(
    redis_url: str, send: Any
) -> None:
    async with process(redis_url) as (one, _), process(redis_url) as (other, _):
        assert await send(one, apq(TEXT)) == {"errors": [NOT_FOUND]}
        assert await send(one, apq(TEXT, query=TEXT)) == ANSWER
        for made in (one, other):
            assert await post(made, apq(TEXT)) == ANSWER
            assert await get(made, apq(TEXT)) == ANSWER


@pytest.mark.parametrize("profile", ["compatible", "strict"])
@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
async def test_a_miss_has_the_status_200_and_is_never_cached(
    redis_url: str, accept: str, profile: str
) -> None:
    options: dict[str, Any] = {"http_profile": profile, "cache_control": "max-age=60"}
    async with process(redis_url, **options) as (made, _):
        parameters = {"extensions": json.dumps(apq(TEXT)["extensions"])}
        for response in (
            await made.client.post("/graphql", json=apq(TEXT), headers={"accept": accept}),
            await made.client.get("/graphql", params=parameters, headers={"accept": accept}),
        ):
            assert response.status_code == 200
            assert response.headers["cache-control"] == "no-store"
            assert "etag" not in response.headers
            assert response.json() == {"errors": [NOT_FOUND]}


async def test_a_process_requests_a_document_from_redis_once(redis_url: str) -> None:
    async with process(redis_url) as (one, stored), process(redis_url) as (other, found):
        await post(one, apq(TEXT, query=TEXT))
        assert stored.requests == 1
        for _ in range(5):
            assert await post(one, apq(TEXT)) == await post(other, apq(TEXT)) == ANSWER
        assert (stored.requests, found.requests) == (1, 1)
        assert other.executor.engine.execution_paths["plan"] == 4


@pytest.mark.parametrize("send", [post, get])
@pytest.mark.parametrize(
    "wrong", [hash_of("{ other: __typename }"), "", "0", "sha256:0", "0" * 64, "0" * 10_000]
)
async def test_the_hash_of_another_text_is_refused_and_nothing_is_registered(
    redis_url: str, wrong: str, send: Any
) -> None:
    extension = {"persistedQuery": {"version": 1, "sha256Hash": wrong}}
    async with process(redis_url) as (made, documents):
        [error] = (await send(made, {"query": TEXT, "extensions": extension}))["errors"]
        assert error["extensions"]["code"] == "BAD_REQUEST"
        stream = await made.post(
            TEXT, extensions=extension, headers={"accept": "text/event-stream"}
        )
        assert stream.status_code == 400
        assert documents.requests == 0


@pytest.mark.parametrize("accept", [*STREAMS, "application/json"])
async def test_the_hash_of_another_text_is_charged(redis_url: str, accept: str) -> None:
    async with redis_at(redis_url) as redis:
        rate = RateLimiter(redis, per_second=0.001, burst=1)
        async with process(redis_url, access=Access(rate=rate)) as (made, _):
            for code in ("BAD_REQUEST", "RATE_LIMITED"):
                body, headers = apq(CREATE, query=TEXT), {"accept": accept}
                response = await made.client.post("/graphql", json=body, headers=headers)
                assert code in response.text


@pytest.mark.parametrize("text", ["{", "{ nothing }", "{ __typename ", "#" * 70_000, ""])
async def test_a_document_that_is_not_valid_is_not_registered(redis_url: str, text: str) -> None:
    async with process(redis_url) as (made, documents):
        assert "errors" in await post(made, apq(text, query=text))
        assert documents.requests == 0
        assert not await is_registered(redis_url, text)


async def test_an_operation_that_is_not_admitted_is_not_registered(redis_url: str) -> None:
    users = "{ users(first: 100) { nodes { id } } }"
    async with process(redis_url, limits=Limits(cost_budget=20), access=with_tokens()) as (made, _):
        for text in (users, "{ users { totalCount } }"):
            await post(made, apq(text, query=text))
            assert not await is_registered(redis_url, text)
        await post(made, apq(users, query=users), **bearer(signed()))
        assert not await is_registered(redis_url, users)


async def test_a_caller_without_a_token_registers_nothing(redis_url: str) -> None:
    schema = "{ __schema { queryType { name } } }"
    async with process(redis_url, access=with_tokens()) as (made, documents):
        assert "data" in await post(made, apq(schema, query=schema))
        assert documents.requests == 0
        assert documents.cached(hash_of(schema)) is None


async def test_a_mutation_is_registered_and_executed_over_post_only(redis_url: str) -> None:
    async with process(redis_url) as (made, _):
        for request in (apq(CREATE, query=CREATE), apq(CREATE)):
            assert "errors" in await get(made, request)
            assert not await is_registered(redis_url, CREATE)
        assert made.store.commands == []
        await post(made, apq(CREATE, query=CREATE))
        assert await is_registered(redis_url, CREATE)
        refused = await made.client.get(
            "/graphql", params={"extensions": json.dumps(apq(CREATE)["extensions"])}
        )
        assert refused.status_code == 405
        assert len(made.store.commands) == 1
        await post(made, apq(CREATE))
        assert len(made.store.commands) == 2


async def test_a_text_that_is_too_long_is_executed_and_not_registered(redis_url: str) -> None:
    for size, fits in ((registered.MAX_BYTES, True), (registered.MAX_BYTES + 1, False)):
        text = TEXT.ljust(size)
        async with process(redis_url) as (made, _):
            assert await post(made, apq(text, query=text)) == ANSWER
            assert await is_registered(redis_url, text) is fits


async def test_the_length_is_counted_in_bytes(redis_url: str) -> None:
    text = TEXT + "#" + "ä" * (registered.MAX_BYTES // 2)
    async with process(redis_url) as (made, _):
        assert await post(made, apq(text, query=text)) == ANSWER
        assert not await is_registered(redis_url, text)


async def test_the_oldest_documents_are_removed_above_the_bound(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registered, "MAX_DOCUMENTS", 3)
    texts = [TEXT + " " * n for n in range(6)]
    async with process(redis_url) as (made, _), redis_at(redis_url) as redis:
        for text in texts:
            await post(made, apq(text, query=text))
        assert [await is_registered(redis_url, text) for text in texts] == [False] * 3 + [True] * 3
        assert await redis.zcard(PREFIX + "index") == 3
        assert len(await redis.keys(PREFIX + "*")) == 4


async def test_every_key_has_the_prefix_and_expires(redis_url: str) -> None:
    async with process(redis_url, namespace="shop") as (made, _), redis_at(redis_url) as redis:
        await post(made, apq(TEXT, query=TEXT))
        keys = await redis.keys("*")
        assert {str(key).split(":")[0] for key in keys} == {"shop"}
        stored = [key for key in keys if "documents}" in key]
        assert len(stored) == 2
        for key in stored:
            assert 0 < await redis.ttl(key) <= registered.KEEP_SECONDS


async def test_a_flood_of_registrations_is_bounded_for_each_caller(redis_url: str) -> None:
    texts = [TEXT + " " * n for n in range(10)]
    async with process(redis_url, burst=4, access=with_tokens()) as (made, _):
        for caller in ("alice", "bob"):
            token = bearer(signed(sub=caller))
            for text in texts:  # every operation is executed nevertheless
                named = f"#{caller}\n{text}"
                assert await post(made, apq(named, query=named), **token) == ANSWER
            found = [await is_registered(redis_url, f"#{caller}\n{text}") for text in texts]
            assert found == [True] * 4 + [False] * 6


@pytest.mark.parametrize("token", [None, signed(sub=None)])
async def test_callers_without_a_subject_have_an_allowance_for_each_address(
    redis_url: str, token: str | None
) -> None:
    access = None if token is None else with_tokens()
    headers = {} if token is None else bearer(token)
    async with process(redis_url, burst=1, access=access) as (made, _):
        for address in ("192.0.2.1", "192.0.2.2"):
            transport = httpx.ASGITransport(made.app, client=(address, 1))
            texts = [f"#{address}{n}\n{TEXT}" for n in range(2)]
            async with httpx.AsyncClient(transport=transport, base_url="http://tandem") as client:
                for text in texts:
                    await client.post("/graphql", json=apq(text, query=text), headers=headers)
            assert [await is_registered(redis_url, text) for text in texts] == [True, False]


async def test_what_was_registered_is_stored_again_only_after_a_while(redis_url: str) -> None:
    now = [0.0]
    async with process(redis_url, now=now) as (made, documents), redis_at(redis_url) as redis:
        for _ in range(3):
            await post(made, apq(TEXT, query=TEXT))
        assert documents.requests == 1
        await redis.flushall()
        now[0] += registered.AGAIN_SECONDS
        await post(made, apq(TEXT, query=TEXT))
        assert await is_registered(redis_url, TEXT)


async def test_an_emptied_redis_is_a_miss_and_the_text_registers_again(redis_url: str) -> None:
    async with process(redis_url) as (one, _), redis_at(redis_url) as redis:
        await post(one, apq(TEXT, query=TEXT))
        await redis.flushall()
        assert await post(one, apq(TEXT)) == ANSWER  # of its own memory
        async with process(redis_url) as (other, _):
            assert await post(other, apq(TEXT)) == {"errors": [NOT_FOUND]}
            assert await post(other, apq(TEXT, query=TEXT)) == ANSWER
            assert await is_registered(redis_url, TEXT)


@pytest.mark.parametrize("stored", ["{ other: __typename }", "", "\ufffd", None])
async def test_a_stored_text_of_another_hash_is_a_miss(redis_url: str, stored: str | None) -> None:
    async with process(redis_url) as (made, _), redis_at(redis_url) as redis:
        if stored is None:
            await redis.hset(PREFIX + hash_of(TEXT), "a", "b")
        else:
            await redis.set(PREFIX + hash_of(TEXT), stored)
        assert await post(made, apq(TEXT)) == {"errors": [NOT_FOUND]}


async def test_without_redis_a_hash_is_a_miss_and_the_text_is_executed() -> None:
    url = f"redis://{HOST}:{free_port()}"
    async with process(url, now=[0.0]) as (made, documents), limited(10):
        with capture_logs() as logs:
            for _ in range(3):
                assert await post(made, apq(TEXT)) == {"errors": [NOT_FOUND]}
        assert await post(made, apq(TEXT, query=TEXT)) == ANSWER
        assert await post(made, apq(TEXT)) == ANSWER
        events = [line["event"] for line in logs]
        assert events.count("documents.unavailable") == 1
        assert documents.requests == 4


@pytest.mark.parametrize(
    "hash_", ["*", "index", "../x", "0" * 63, "Z" * 64, "\n" * 64, "a" * 10_000]
)
async def test_what_is_no_hash_does_not_reach_redis(redis_url: str, hash_: str) -> None:
    async with process(redis_url) as (made, documents):
        for request in ({"documentId": hash_}, {"id": hash_}, {"doc_id": hash_}):
            assert await post(made, request) == {"errors": [NOT_FOUND]}
        assert documents.requests == 0


async def test_a_registered_document_is_found_in_event_streams_and_over_websocket(
    redis_url: str,
) -> None:
    async with process(redis_url) as (one, _), process(redis_url) as (other, _):
        await post(one, apq(TEXT, query=TEXT))
        headers = {"accept": "text/event-stream"}
        stream = await other.client.post("/graphql", json=apq(TEXT), headers=headers)
        assert json.dumps(ANSWER, separators=(",", ":")) in stream.text
    async with (
        process(redis_url) as (made, _),
        served(made.app) as host,
        connect(f"ws://{host}/graphql", subprotocols=[PROTOCOL]) as socket,
    ):
        await tell(socket, INIT)
        await heard(socket)
        await tell(socket, {"type": "subscribe", "id": "1", "payload": apq(TEXT)})
        assert await heard(socket) == {"type": "next", "id": "1", "payload": ANSWER}


@pytest.mark.parametrize("burst", [None, 10])
async def test_a_miss_of_a_multipart_request_is_json_so_that_the_client_sends_the_text(
    redis_url: str, burst: int | None
) -> None:
    async with redis_at(redis_url) as redis:
        rate = None if burst is None else RateLimiter(redis, per_second=0.001, burst=burst)
        async with process(redis_url, access=Access(rate=rate)) as (made, _):
            response = await made.client.post("/graphql", json=apq(TEXT), headers=MULTIPART)
            assert response.headers["content-type"].startswith("application/json")
            assert response.status_code == 200
            assert response.json() == {"errors": [NOT_FOUND]}


@pytest.mark.parametrize("accept", [*STREAMS, "application/json"])
async def test_a_hash_without_a_token_is_401_on_every_transport(
    redis_url: str, accept: str
) -> None:
    options: dict[str, Any] = {"access": with_tokens(), "introspection": False}
    async with process(redis_url, **options) as (made, documents):
        response = await made.client.post("/graphql", json=apq(TEXT), headers={"accept": accept})
        assert response.status_code == 401
        assert documents.requests == 0


async def test_a_caller_without_a_token_finds_only_what_the_process_has(redis_url: str) -> None:
    schema = "{ __schema { queryType { name } } }"
    async with process(redis_url, access=with_tokens()) as (made, documents):
        assert await post(made, apq(schema)) == {"errors": [NOT_FOUND]}
        assert documents.requests == 0
        await post(made, apq(schema, query=schema), **bearer(signed()))
        assert "data" in await post(made, apq(schema))


async def test_a_mutation_by_hash_over_get_has_the_status_405_also_as_a_stream(
    redis_url: str,
) -> None:
    async with process(redis_url) as (made, _):
        await post(made, apq(CREATE, query=CREATE))
        parameters = {"extensions": json.dumps(apq(CREATE)["extensions"])}
        for accept in STREAMS:
            headers = {"accept": accept}
            stream = await made.client.get("/graphql", params=parameters, headers=headers)
            assert stream.status_code == 405
            assert "BAD_REQUEST" in stream.text
        assert len(made.store.commands) == 1


async def test_the_operations_of_a_list_register_and_are_found(redis_url: str) -> None:
    async with process(redis_url, batch_limit=3) as (made, _):
        found = await post(made, [apq(TEXT, query=TEXT), apq(CREATE), {"query": TEXT}])
        assert found == [ANSWER, {"errors": [NOT_FOUND]}, ANSWER]
        assert await post(made, [apq(TEXT)]) == [ANSWER]


async def test_a_hash_of_a_list_is_looked_up_once_and_registers_nothing(redis_url: str) -> None:
    async with process(redis_url) as (one, _):
        await post(one, apq(TEXT, query=TEXT))
    async with process(redis_url, batch_limit=4) as (made, documents):
        unknown, known = {"errors": [NOT_FOUND]}, apq(TEXT, documentId=hash_of(TEXT))
        assert await post(made, [apq(CREATE), known, apq(CREATE), known]) == [
            unknown, ANSWER, unknown, ANSWER
        ]  # fmt: skip
        assert documents.requests == 2
        assert await post(made, [known]) == [ANSWER]
        assert documents.requests == 2


async def test_a_trusted_document_is_not_looked_up(redis_url: str) -> None:
    trusted = TrustedDocuments(mode="register", documents={hash_of(TEXT): TEXT})
    async with process(redis_url, trusted=trusted, batch_limit=1) as (made, documents):
        assert await post(made, apq(TEXT)) == ANSWER
        assert await post(made, [apq(TEXT)]) == [ANSWER]
        assert documents.requests == 0


async def test_the_first_operations_of_a_list_that_fit_are_executed_also_by_hash(
    redis_url: str,
) -> None:
    other = CREATE.replace("a@example.com", "b@example.com")
    async with process(redis_url) as (one, _):
        await post(one, apq(CREATE, query=CREATE))
    limits = Limits(cost_budget=10)
    async with process(redis_url, limits=limits, batch_limit=2) as (made, _):
        first, second = await post(made, [apq(CREATE), {"query": other}])
        assert "data" in first
        assert second["errors"][0]["extensions"]["code"] == "COST_LIMIT_EXCEEDED"


async def test_concurrent_registrations_of_one_text_store_it(redis_url: str) -> None:
    async with process(redis_url) as (made, _):
        asked = [post(made, apq(TEXT, query=TEXT)) for _ in range(20)]
        assert await asyncio.gather(*asked) == [ANSWER] * 20
        assert await is_registered(redis_url, TEXT)


async def test_the_memory_of_a_process_is_bounded(redis_url: str) -> None:
    limits = with_limits(cached_documents=2)
    async with process(redis_url, limits=limits) as (made, documents):
        for number in range(5):
            text = TEXT + " " * number
            await post(made, apq(text, query=text))
        assert documents.cached(hash_of(TEXT)) is None
        assert documents.cached(hash_of(text)) == text


@pytest.mark.parametrize("name", ["id", "doc_id", "documentId"])
async def test_relays_id_names_a_trusted_or_a_registered_document(
    redis_url: str, name: str
) -> None:
    async with process(redis_url) as (made, _):
        await post(made, apq(TEXT, query=TEXT))
        assert await post(made, {name: hash_of(TEXT), "variables": {}}) == ANSWER
        assert await get(made, {name: hash_of(TEXT), "variables": {}}) == ANSWER
    manifest = TrustedDocuments(mode="require", documents={hash_of(TEXT): TEXT})
    async with edge(trusted=manifest) as made:
        assert await post(made, {name: hash_of(TEXT), "query": None}) == ANSWER
        assert await get(made, {name: hash_of(TEXT)}) == ANSWER


@pytest.mark.parametrize("value", [1, None, [], {"a": 1}, "anything", True])
async def test_an_id_beside_a_text_that_names_no_document_is_ignored(
    redis_url: str, value: object
) -> None:
    async with process(redis_url) as (made, documents):
        for name in ("id", "doc_id"):
            assert await post(made, {"query": TEXT, name: value}) == ANSWER
        assert documents.requests == 0
