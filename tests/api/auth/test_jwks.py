"""Keys of an issuer, fetched from a real server over HTTP: when, how often, and failures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from api.auth.jwks import CACHE_SECONDS, KeySetClient
from api.auth.tokens import Tokens
from api.errors import RequestError
from api.runtime import drivers
from tests.api.in_memory_app import served_by
from tests.api.tokens import AUDIENCE, ISSUER, claims, forged_with, raw, signed
from tests.limited import limited

PUBLIC = ("RS256", "PS256", "ES256", "EdDSA")
RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    kinds: dict[type, Any] = {
        rsa.RSAPrivateKey: RSAAlgorithm,
        ec.EllipticCurvePrivateKey: ECAlgorithm,
    }
    kind = next((kinds[base] for base in kinds if isinstance(key, base)), OKPAlgorithm)
    known = {**kind.to_jwk(key.public_key(), as_dict=True), **more}
    return known if kid is None else {**known, "kid": kid}


class Issuer:
    """Serves `keys`, or fails with `fault`; counts the requests, and can delay them."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.fault: Response | None = None
        self.asked = 0
        self.now = 0.0
        self.go = asyncio.Event()
        self.go.set()

    async def answer(self, _: Request) -> Response:
        self.asked += 1
        await self.go.wait()
        return self.fault or Response(json.dumps({"keys": self.keys}))


@asynccontextmanager
async def issued(*keys: dict[str, Any]) -> AsyncIterator[tuple[Issuer, Tokens]]:
    issuer = Issuer(*keys)
    app = Starlette(routes=[Route("/keys", issuer.answer)])
    config = uvicorn.Config(app, lifespan="off", log_level="warning")
    async with served_by(config) as host, drivers.issuer(f"http://{host}/keys") as fetch:
        keys_ = KeySetClient(fetch, clock=lambda: issuer.now)
        yield issuer, Tokens(keys_.find, algorithms=PUBLIC, audience=AUDIENCE, issuer=ISSUER)
        await keys_.close()


async def taken(tokens: Tokens, token: str) -> bool:
    try:
        caller = await tokens.caller(f"Bearer {token}")
    except RequestError:
        return False
    return caller.is_authenticated


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")]
)
async def test_a_token_of_each_kind_of_key_is_accepted(key: Any, algorithm: str) -> None:
    async with issued(jwk(key, "a"), jwk(OTHER, "b")) as (issuer, tokens):
        assert await taken(tokens, signed(key, algorithm, "a"))
        assert not await taken(tokens, signed(key, algorithm, "b"))
        assert await taken(tokens, signed(key, algorithm, "a"))
        assert issuer.asked == 1


@pytest.mark.parametrize("kid", [None, "b"])
async def test_a_key_that_is_not_known_is_refused(kid: str | None) -> None:
    async with issued(jwk(RSA, "a"), jwk(OTHER, "c")) as (_, tokens):
        assert not await taken(tokens, signed(RSA, "RS256", kid))


async def test_a_key_that_is_alone_needs_no_name() -> None:
    async with issued(jwk(RSA, "a"), {"kty": "oct", "k": "AAAA", "kid": "b"}) as (_, tokens):
        assert await taken(tokens, signed(RSA, "RS256"))
        assert not await taken(tokens, signed(OTHER, "RS256"))


async def test_a_public_key_is_no_secret_to_sign_with() -> None:
    public = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    forged = forged_with(public, {"alg": "HS256", "kid": "a"}, claims())
    async with issued(jwk(RSA, "a"), {"kty": "oct", "k": "AAAA", "kid": "b"}) as (_, tokens):
        assert not await taken(tokens, forged)
        assert not await taken(tokens, signed("A" * 32, "HS256", "b"))
        assert not await taken(tokens, raw({"alg": "none", "kid": "a"}, claims()))


async def test_a_key_is_for_its_own_algorithm_and_use() -> None:
    keys = jwk(RSA, "a", alg="PS256"), jwk(RSA, "b", use="enc"), jwk(EC, "c"), {"kid": "d"}
    async with issued(*keys, {"kid": ["e"]}, {}) as (_, tokens):
        assert await taken(tokens, signed(RSA, "PS256", "a"))
        for kid in "abcd":
            assert not await taken(tokens, signed(RSA, "RS256", kid))


async def test_a_new_key_is_fetched_when_a_token_names_it() -> None:
    async with issued(jwk(RSA, "a")) as (issuer, tokens):
        assert await taken(tokens, signed(RSA, "RS256", "a"))
        issuer.keys = [jwk(OTHER, "b"), jwk(RSA, "a")]
        issuer.now += 10
        assert await taken(tokens, signed(OTHER, "RS256", "b"))
        assert issuer.asked == 2


async def test_unknown_key_ids_cause_a_fetch_once_in_an_interval() -> None:
    async with issued(jwk(RSA, "a"), jwk(EC, "b")) as (issuer, tokens):
        for number in range(50):
            assert not await taken(tokens, signed(RSA, "RS256", f"unknown{number}"))
        assert issuer.asked == 1
        issuer.now += 10
        for number in range(50):
            assert not await taken(tokens, signed(RSA, "RS256", f"unknown{number}"))
        assert issuer.asked == 2


async def test_concurrent_requests_for_a_key_share_one_fetch() -> None:
    async with issued(jwk(RSA, "a")) as (issuer, tokens):
        issuer.go.clear()
        token = signed(RSA, "RS256", "a")
        asking = [asyncio.create_task(taken(tokens, token)) for _ in range(20)]
        async with limited(5):
            while issuer.asked == 0:
                await asyncio.sleep(0)
        asking[0].cancel()  # whoever gives up does not spoil it for the others
        issuer.go.set()
        assert await asyncio.gather(*asking[1:]) == [True] * 19
        assert issuer.asked == 1


@pytest.mark.parametrize(
    "fault",
    [
        lambda: Response("no", status_code=503),
        lambda: RedirectResponse("/keys?elsewhere"),
        lambda: Response("not json"),
        lambda: Response("[]"),
        lambda: Response('{"keys": 1}'),
        lambda: Response("\xff"),
        lambda: Response("[" * 100_000),
        lambda: Response(b" " * 300_000 + b'{"keys": []}'),
        lambda: StreamingResponse(iter([b" " * 10_000] * 100)),
    ],
)
async def test_while_a_fetch_fails_the_cached_keys_are_used(fault: Any) -> None:
    async with issued(jwk(RSA, "a")) as (issuer, tokens):
        assert await taken(tokens, signed(RSA, "RS256", "a"))
        issuer.fault = fault()
        issuer.now += 10
        with capture_logs() as logs:
            assert not await taken(tokens, signed(RSA, "RS256", "b"))
        assert [entry["event"] for entry in logs] == ["jwks.fetch_failed"]
        assert await taken(tokens, signed(RSA, "RS256", "a"))
        assert issuer.asked == 2


async def test_the_keys_of_an_issuer_that_was_unavailable_are_fetched_again() -> None:
    async with issued(jwk(RSA, "a")) as (issuer, tokens):
        issuer.fault = Response("no", status_code=503)
        assert not await taken(tokens, signed(RSA, "RS256", "a"))
        issuer.fault = None
        assert not await taken(tokens, signed(RSA, "RS256", "a"))  # not yet
        issuer.now += 10
        assert await taken(tokens, signed(RSA, "RS256", "a"))


async def test_a_withdrawn_key_is_removed_without_a_wait() -> None:
    async with issued(jwk(RSA, "a"), jwk(EC, "b")) as (issuer, tokens):
        token = signed(RSA, "RS256", "a")
        assert await taken(tokens, token)
        issuer.keys = [jwk(EC, "b"), jwk(ED, "c")]
        issuer.now += CACHE_SECONDS + 1
        issuer.go.clear()
        assert await taken(tokens, token)  # while the fetch is under way
        issuer.go.set()
        async with limited(5):
            while await taken(tokens, token):
                await asyncio.sleep(0.01)
        assert issuer.asked == 2
        assert await taken(tokens, signed(ED, "EdDSA", "c"))
