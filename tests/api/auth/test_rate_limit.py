"""The rate limit, counted in a real Redis, and without Redis."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from api.auth.access import Access
from api.auth.rate_limit import RETRY_SECONDS, RateLimiter, client_network
from api.errors import RequestError
from api.runtime import drivers
from api.settings import Settings
from readside.redis_functions.keys import Namespace
from tests.api.http.test_graphql_ws import INIT, PROTOCOL, heard, subscribe, tell
from tests.api.in_memory_app import edge, served
from tests.api.tokens import bearer, signed, with_tokens
from tests.limited import limited
from tests.processes import HOST, free_port

HELLO = "{ __typename }"
RESPONSE = "application/graphql-response+json"
MULTIPART = "multipart/mixed;subscriptionSpec=1.0,application/json"
SLOWLY = 0.001
"""So slow that nothing comes back during a test."""


@asynccontextmanager
async def counted(
    url: str, *, per_second: float = SLOWLY, burst: float = 3, now: list[float] | None = None
) -> AsyncIterator[RateLimiter]:
    """With a driver that is patient, so that a busy machine does not pass for a Redis that is away."""
    clock = time.monotonic if now is None else lambda: now[0]
    async with drivers.redis_for_functions(Settings(redis_url=url)) as redis:
        yield RateLimiter(redis, per_second=per_second, burst=burst, clock=clock)


async def passes(rate: RateLimiter, who: str = "alice", cost: int = 1) -> bool:
    try:
        await rate.spend(who, cost)
    except RequestError as error:
        assert error.errors[0]["extensions"]["retryAfter"] > 0  # noqa: PT017
        return False
    return True


async def test_a_caller_may_spend_the_burst_and_no_other_pays_for_it(redis_url: str) -> None:
    async with counted(redis_url) as rate:
        assert [await passes(rate) for _ in range(5)] == [True] * 3 + [False] * 2
        assert await passes(rate, "bob")


async def test_concurrent_requests_of_a_caller_spend_from_one_allowance(redis_url: str) -> None:
    async with counted(redis_url) as rate, counted(redis_url) as elsewhere:
        asking = [passes(one) for one in (rate, elsewhere) for _ in range(25)]
        assert sum(await asyncio.gather(*asking)) == 3


async def test_an_operation_of_higher_cost_spends_more(redis_url: str) -> None:
    async with counted(redis_url) as rate:
        assert await passes(rate, cost=2)
        assert not await passes(rate, cost=2)
        assert await passes(rate, cost=1)


async def test_a_cost_above_the_burst_spends_the_whole_burst(redis_url: str) -> None:
    async with counted(redis_url) as rate:
        assert await passes(rate, cost=100)
        assert not await passes(rate, cost=1)
        await passes(rate, "bob")
        assert not await passes(rate, "bob", cost=100)


async def test_the_allowance_recovers_and_the_refusal_says_when(redis_url: str) -> None:
    async with counted(redis_url, per_second=2, burst=1) as rate:
        assert await passes(rate)
        with pytest.raises(RequestError) as limited:
            await rate.spend("alice", 1)
        wait = limited.value.errors[0]["extensions"]["retryAfter"]
        assert 0 < wait <= 0.5
        await asyncio.sleep(wait)
        assert await passes(rate)


async def test_services_that_share_redis_count_a_caller_separately(
    redis_url: str,
) -> None:
    async with drivers.redis_for_functions(Settings(redis_url=redis_url)) as redis:
        shop, other = (
            RateLimiter(redis, per_second=SLOWLY, burst=1, namespace=Namespace(prefix))
            for prefix in ("shop", "shop-2")
        )
        assert await passes(shop)
        assert not await passes(shop)
        assert await passes(other)


async def test_a_caller_that_owes_nothing_leaves_no_key(redis_url: str) -> None:
    settings = Settings(redis_url=redis_url)
    async with (
        counted(redis_url, per_second=5, burst=1) as rate,
        drivers.redis_for_functions(settings) as redis,
    ):
        await rate.spend("alice", 1)
        assert await redis.keys() == ["tandem:rate:alice"]
        async with limited(5):
            while await redis.keys():
                await asyncio.sleep(0.01)


async def test_without_redis_all_requests_pass_and_it_is_tried_once_in_an_interval() -> None:
    now = [0.0]
    async with counted(f"redis://{HOST}:{free_port()}/0", now=now) as rate:
        with capture_logs() as logs:
            assert all([await passes(rate) for _ in range(20)])
            now[0] += RETRY_SECONDS
            assert await passes(rate)
        assert [entry["event"] for entry in logs] == ["rate_limit.skipped"] * 2


async def test_a_silent_redis_does_not_delay_requests() -> None:
    with socket.create_server((HOST, 0)) as silent:
        settings = Settings(redis_url=f"redis://{HOST}:{silent.getsockname()[1]}/0")
        async with drivers.redis_for_rate_limits(settings) as redis, limited(1.5):
            rate = RateLimiter(redis, per_second=SLOWLY, burst=3)
            assert all([await passes(rate) for _ in range(20)])


async def test_too_much_is_429_with_the_time_to_wait(redis_url: str) -> None:
    async with counted(redis_url, burst=1) as rate, edge(access=Access(rate=rate)) as made:
        assert (await made.post(HELLO)).status_code == 200
        for accept, status in ((RESPONSE, 429), ("application/json", 200)):
            response = await made.post(HELLO, headers={"accept": accept})
            [error] = response.json()["errors"]
            assert response.status_code == status
            assert error["extensions"]["code"] == "RATE_LIMITED"
            assert 900 < error["extensions"]["retryAfter"] <= 1000
            assert 900 < int(response.headers["retry-after"]) <= 1000
            assert "data" not in response.json()
        stream = await made.post(HELLO, headers={"accept": "text/event-stream"})
        assert '"code":"RATE_LIMITED"' in stream.text
        parts = await made.post(HELLO, headers={"accept": MULTIPART})
        assert parts.headers["content-type"].startswith("application/json")
        assert 900 < int(parts.headers["retry-after"]) <= 1000


async def test_an_operation_spends_what_it_costs(redis_url: str) -> None:
    dear = "{ users(first: 50) { nodes { id } } }"
    async with counted(redis_url, burst=60) as rate, edge(access=Access(rate=rate)) as made:
        assert "errors" not in (await made.post(dear)).json()
        assert "errors" not in (await made.post(HELLO)).json()
        [error] = (await made.post(dear)).json()["errors"]
        assert error["extensions"]["code"] == "RATE_LIMITED"


WIDE = f"{{ users(first: 100) {{ nodes {{ {' '.join(f'a{n}: name' for n in range(40))} }} }} }}"
WIDE_COST = (11 + 100 * 40) // 20


@pytest.mark.parametrize("accept", [RESPONSE, "text/event-stream", MULTIPART])
async def test_an_operation_spends_for_the_fields_of_its_response(
    redis_url: str, accept: str
) -> None:
    burst = len(WIDE) // 50 + 2 * WIDE_COST
    async with counted(redis_url, burst=burst) as rate, edge(access=Access(rate=rate)) as made:
        for limited in (False, False, True):  # by graphql-core, then by a plan
            response = await made.post(WIDE, headers={"accept": accept})
            assert ("RATE_LIMITED" in response.text) is limited


async def test_the_operations_of_a_list_spend_for_their_fields(redis_url: str) -> None:
    async with counted(redis_url, burst=len(WIDE) // 50 + 2 * WIDE_COST) as rate:
        async with edge(access=Access(rate=rate), batch_limit=3) as made:
            response = await made.client.post("/graphql", json=[{"query": WIDE}] * 3)
        assert sorted("errors" in answer for answer in response.json()) == [False, False, True]


@pytest.mark.parametrize("refused", ["", " unknown"])
async def test_a_document_that_is_not_cached_spends_by_its_length(
    redis_url: str, refused: str
) -> None:
    def text(number: int) -> str:
        fields = " ".join(f"a{number}_{at}: name" for at in range(20))
        return f'{{ user(id: "{UUID(int=1)}") @skip(if: true) {{ {fields}{refused} }} }}'

    spent = 1 + len(text(0)) // 50
    async with counted(redis_url, burst=2 * spent + 1) as rate:
        async with edge(access=Access(rate=rate)) as made:
            texts = [(await made.post(text(number))).text for number in (0, 1, 1, 1)]
        assert ["RATE_LIMITED" in answer for answer in texts] == [False, False, False, True]


async def test_a_document_that_is_parsed_for_graphql_core_spends_by_its_length(
    redis_url: str,
) -> None:
    """It differs from a cached one in a literal, but has no plan."""

    def text(number: int) -> str:
        fields = " ".join(f"alias{at}: name" for at in range(40))
        return f'{{ __type(name: "T{number}") {{ {fields} }} }}'

    spent = 150 + len(text(0)) // 50
    async with counted(redis_url, burst=3 * spent) as rate:
        async with edge(access=Access(rate=rate)) as made:
            texts = [(await made.post(one)).text for one in (text(0), text(1), text(2), HELLO)]
        assert ["RATE_LIMITED" in answer for answer in texts] == [False, False, False, True]


@pytest.mark.parametrize("accept", [RESPONSE, "text/event-stream", MULTIPART])
@pytest.mark.parametrize("refused", ["{", "{ nobody }", "query A { __typename } query B { id }"])
async def test_a_refused_operation_spends_too(redis_url: str, refused: str, accept: str) -> None:
    async with counted(redis_url, burst=2) as rate, edge(access=Access(rate=rate)) as made:
        told = [(await made.post(refused, headers={"accept": accept})).text for _ in range(3)]
        assert ["RATE_LIMITED" in text for text in told] == [False, False, True]


async def test_a_command_above_the_rate_is_not_carried_out(redis_url: str) -> None:
    create = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'
    async with counted(redis_url, burst=1) as rate, edge(access=Access(rate=rate)) as made:
        for _ in range(3):
            await made.post(create)
        assert len(made.store.commands) == 1


async def test_the_same_rate_holds_over_websocket(redis_url: str) -> None:
    async with (
        counted(redis_url, burst=1) as rate,
        edge(access=Access(rate=rate)) as made,
        served(made.app) as host,
        connect(f"ws://{host}/graphql", subprotocols=[PROTOCOL]) as socket,
    ):
        await tell(socket, INIT)
        await heard(socket)
        await subscribe(socket, HELLO)
        assert (await heard(socket))["type"] == "next"
        assert (await heard(socket))["type"] == "complete"
        await subscribe(socket, HELLO)
        [error] = (await heard(socket))["payload"]
        assert error["extensions"]["code"] == "RATE_LIMITED"
        async with httpx.AsyncClient() as client:  # from the same address
            answer = await client.post(f"http://{host}/graphql", json={"query": HELLO})
        assert answer.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"


async def test_callers_with_tokens_are_distinguished_by_their_subject(redis_url: str) -> None:
    async with counted(redis_url, burst=1) as rate:
        access = Access(tokens=with_tokens().tokens, rate=rate)
        async with edge(access=access) as made:
            for subject, limited in (("a@b.c", False), ("d@e.f", False), ("a@b.c", True)):
                response = await made.post(HELLO, headers=bearer(signed(sub=subject)))
                assert ("errors" in response.json()) is limited
        async with drivers.redis_for_functions(Settings(redis_url=redis_url)) as redis:
            assert "@" not in str(await redis.keys())


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", "unknown"),
        ("testclient", "unknown"),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(address: str, meant: str) -> None:
    assert client_network(address) == meant
