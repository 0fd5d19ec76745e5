"""The tokens that are accepted over HTTP, and the responses to all others."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from api.settings import Settings
from tests.api.in_memory_app import ALICE, Edge, edge
from tests.api.tokens import ISSUER, SECRET, bearer, claims, forged_with, raw, signed, with_tokens

USERS = "{ users { totalCount } }"
OTHER = "another secret that is just as long as it"
JSON, RESPONSE, STREAM = (
    "application/json",
    "application/graphql-response+json",
    "text/event-stream",
)

HOSTILE: dict[str, Callable[[], str]] = {
    "expired": lambda: signed(exp=time.time() - 1),
    "not yet valid": lambda: signed(nbf=time.time() + 60),
    "issued in the future": lambda: signed(iat=time.time() + 60),
    "another audience": lambda: signed(aud="others"),
    "other audiences": lambda: signed(aud=["others", "tandem2"]),
    "no audience": lambda: signed(aud=None),
    "another issuer": lambda: signed(iss="https://evil.example.com"),
    "no issuer": lambda: signed(iss=None),
    "never expires": lambda: signed(exp=None),
    "another key": lambda: signed(OTHER),
    "another key and algorithm": lambda: signed(SECRET * 2, "HS512"),
    "alg none": lambda: raw({"alg": "none", "typ": "JWT"}, claims()),
    "alg None": lambda: raw({"alg": "None"}, claims()),
    "alg none with HS256's name": lambda: raw({"alg": "HS256"}, claims()),
    "no alg": lambda: raw({"typ": "JWT"}, claims()),
    "alg of another type": lambda: raw({"alg": ["HS256"]}, claims()),
    "kid of another type": lambda: raw({"alg": "HS256", "kid": ["a"]}, claims()),
    "critical extension": lambda: raw({"alg": "HS256", "crit": ["b64"], "b64": False}, claims()),
    "another payload": lambda: ".".join(
        [*signed().split(".")[:1], raw({}, claims(sub="bob")).split(".")[1], signed().split(".")[2]]
    ),
    "header is no object": lambda: raw([], claims()),
    "payload is no object": lambda: raw({"alg": "HS256"}, []),
    "nested deeply": lambda: f"{b64encode(b'[' * 6000).decode()}..",
    "garbage": lambda: "garbage",
    "dots": lambda: "..",
    "many dots": lambda: "." * 1000,
    "empty": lambda: "",
    "too long": lambda: "a" * 10_000,
    "not ASCII": lambda: "\xe9.\xe9.\xe9",
}
STRANGE: dict[str, dict[str, Any]] = {
    "exp is infinite": {"exp": float("inf")},
    "exp is no number": {"exp": "soon"},
    "exp is a list": {"exp": [1]},
    "exp is null": {"exp": {}},
    "exp is not a number": {"exp": float("nan")},
    "exp is true": {"exp": True},
    "exp is an object": {"exp": {"": 1}},
    "exp has 5,000 digits": {"exp": "9" * 5_000},
    "exp is half a surrogate pair": {"exp": "\ud800"},
    "iat is not a number": {"iat": float("nan")},
    "iat has 400 digits": {"iat": 10**400},
    "iat is a list": {"iat": []},
    "nbf has 400 digits": {"nbf": 10**400},
    "iss is a number": {"iss": 1},
    "aud is half a surrogate pair": {"aud": "\ud800"},
    "nbf is infinite": {"nbf": float("inf")},
    "sub is no text": {"sub": 1},
    "aud is a number": {"aud": 1},
    "aud is an object": {"aud": {"tandem": 1}},
}


def strange(changed: dict[str, Any]) -> str:
    """Signed nevertheless, as by a faulty issuer."""
    return forged_with(SECRET.encode(), {"alg": "HS256"}, claims(**changed))


async def ask(made: Edge, query: str = USERS, accept: str = JSON, **headers: str) -> Any:
    return await made.post(query, headers={"accept": accept, **headers})


async def test_a_valid_token_is_accepted() -> None:
    async with edge(access=with_tokens()) as made:
        response = await ask(made, **bearer(signed()))
        assert response.json() == {"data": {"users": {"totalCount": 0}}}
        response = await ask(made, authorization=f"bearer  {signed()} ")
        assert response.status_code == 200


@pytest.mark.parametrize("accept", [JSON, RESPONSE, STREAM])
@pytest.mark.parametrize("kind", [*HOSTILE, *STRANGE])
async def test_an_invalid_token_is_401(kind: str, accept: str) -> None:
    token = HOSTILE[kind]() if kind in HOSTILE else strange(STRANGE[kind])
    async with edge(access=with_tokens()) as made:
        authorization = f"Bearer {token}".encode("latin-1")
        headers = [(b"accept", accept.encode()), (b"authorization", authorization)]
        response = await made.client.post("/graphql", json={"query": USERS}, headers=headers)
        [error] = response.json()["errors"]
        assert (response.status_code, error["extensions"]) == (401, {"code": "UNAUTHENTICATED"})
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert "data" not in response.json()


@pytest.mark.parametrize("claim", ["sub", "jti"])
@pytest.mark.parametrize("value", [1, 1.5, True, ["alice"], {"id": 1}])
async def test_a_claim_that_must_be_a_string_is_named(claim: str, value: object) -> None:
    async with edge(access=with_tokens()) as made:
        response = await ask(made, **bearer(strange({claim: value})))
        [error] = response.json()["errors"]
        assert error["message"].startswith(f"The token has a claim {claim} that is not a string (")


async def test_an_iat_that_is_not_a_number_is_named() -> None:
    async with edge(access=with_tokens()) as made:
        response = await ask(made, **bearer(strange({"iat": "soon"})))
        [error] = response.json()["errors"]
        assert error["message"].startswith("The token has a claim iat that is not a number (")


@pytest.mark.parametrize("accept", [JSON, RESPONSE, STREAM])
@pytest.mark.parametrize("expires", [10**400, 1e308, "9" * 400, 2**63, "32503680001"])
async def test_a_token_that_expires_in_the_far_future_is_accepted(
    expires: Any, accept: str
) -> None:
    async with edge(access=with_tokens()) as made:
        response = await ask(made, USERS, accept, **bearer(strange({"exp": expires})))
        assert response.status_code == 200
        assert "errors" not in response.text


async def test_the_right_key_does_not_make_up_for_another_algorithm() -> None:
    async with edge(access=with_tokens(SECRET * 2)) as made:
        for algorithm, status in (("HS256", 200), ("HS384", 401), ("HS512", 401)):
            token = signed(SECRET * 2, algorithm)
            assert (await ask(made, **bearer(token))).status_code == status


@pytest.mark.parametrize("authorization", ["Basic YTpi", "Bearer", "Token abc", ""])
async def test_another_scheme_is_401(authorization: str) -> None:
    async with edge(access=with_tokens()) as made:
        assert (await ask(made, authorization=authorization)).status_code == 401


async def test_two_tokens_are_401() -> None:
    async with edge(access=with_tokens()) as made:
        twice = [("authorization", f"Bearer {signed()}")] * 2
        response = await made.client.post("/graphql", json={"query": USERS}, headers=twice)
        assert response.status_code == 401


@pytest.mark.parametrize("accept", [JSON, RESPONSE, STREAM])
async def test_no_token_is_401_with_a_challenge(accept: str) -> None:
    async with edge(access=with_tokens()) as made:
        for query in (USERS, f'subscription {{ userChanged(id: "{ALICE}") {{ id }} }}'):
            response = await ask(made, query, STREAM if query != USERS else accept)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"


async def test_the_schema_and_the_page_need_no_token() -> None:
    async with edge(access=with_tokens()) as made:
        introspection = "query I { __typename __schema { queryType { name } } }"
        assert "data" in (await ask(made, introspection)).json()
        assert (await made.client.get("/schema.graphql")).status_code == 200
        page = await made.client.get("/graphql", headers={"accept": "text/html"})
        assert page.headers["content-type"].startswith("text/")


@pytest.mark.parametrize(
    "query",
    [
        "{ __typename users { totalCount } }",
        "{ __typename users @skip(if: true) { totalCount } }",
        "{ __typename ...F } fragment F on Query { users { totalCount } }",
        "{ ... { users { totalCount } } }",
        "{ __typename: users { totalCount } }",
        "query A { __typename } query B { users { totalCount } }",
    ],
)
async def test_only_the_schema_is_available_without_a_token(query: str) -> None:
    async with edge(access=with_tokens()) as made:
        response = await made.post(query, operationName="A" if "query A" in query else None)
        assert '"users"' not in response.text
        assert response.status_code in {400, 401} or "errors" in response.json()


async def test_the_token_is_checked_before_the_body_is_read() -> None:
    async with edge(access=with_tokens()) as made:
        headers = {**bearer("garbage"), "content-type": JSON}
        response = await made.client.post("/graphql", content=b"{", headers=headers)
        assert response.status_code == 401


async def test_clocks_may_differ_by_the_leeway() -> None:
    late = bearer(signed(exp=time.time() - 5))
    async with edge(access=with_tokens(leeway=10)) as made:
        assert (await ask(made, **late)).status_code == 200
    async with edge(access=with_tokens(leeway=1)) as made:
        assert (await ask(made, **late)).status_code == 401


async def test_a_token_whose_expiry_is_beyond_any_clock_is_accepted() -> None:
    async with edge(access=with_tokens()) as made:
        assert (await ask(made, **bearer(signed(exp=10**300)))).status_code == 200


async def test_a_token_with_an_audience_is_refused_if_none_is_set() -> None:
    async with edge(access=with_tokens(audience=None)) as made:
        assert (await ask(made, **bearer(signed(aud="others")))).status_code == 401
        assert (await ask(made, **bearer(signed(aud=None)))).status_code == 200


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"auth_secret": "short"}, "at least 32 bytes"),
        ({"auth_secret": SECRET, "auth_jwks_url": "https://a/", "auth_audience": "a"}, "one of"),
        ({"auth_jwks_url": "https://a/"}, "AUTH_AUDIENCE"),
        ({"auth_jwks_url": "http://issuer.example.com/", "auth_audience": "a"}, "https"),
        ({"auth_jwks_url": "file:///etc/passwd", "auth_audience": "a"}, "https"),
        ({"auth_audience": "a"}, "AUTH_SECRET or AUTH_JWKS_URL"),
        ({"auth_issuer": ISSUER}, "AUTH_SECRET or AUTH_JWKS_URL"),
        ({"auth_secret": SECRET, "auth_algorithms": ("RS256",)}, "AUTH_SECRET"),
        ({"auth_secret": SECRET, "auth_algorithms": ("none",)}, "AUTH_SECRET"),
        (
            {"auth_jwks_url": "https://a/", "auth_audience": "a", "auth_algorithms": ("HS256",)},
            "AUTH_JWKS_URL",
        ),
    ],
)
def test_settings_that_would_admit_the_wrong_callers_are_refused(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(**settings)


def test_each_kind_of_key_has_its_algorithms() -> None:
    assert Settings(auth_secret=SecretStr(SECRET)).algorithms == ("HS256",)
    asymmetric = Settings(auth_jwks_url="https://a/", auth_audience="a").algorithms
    assert asymmetric
    assert not [name for name in asymmetric if name.startswith("HS")]


def test_the_settings_do_not_show_the_secret() -> None:
    assert SECRET not in repr(Settings(auth_secret=SecretStr(SECRET)))
