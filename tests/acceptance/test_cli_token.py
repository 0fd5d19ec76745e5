"""tandem token: prints a token that the service accepts, and never the secret."""

from __future__ import annotations

import time

import pytest

from api.auth.tokens import Tokens, shared_secret
from tests.acceptance.cli import tandem_with

SECRET = "a secret of more than 32 bytes, for tests"
SERVICE = {"AUTH_SECRET": SECRET, "AUTH_AUDIENCE": "orders", "AUTH_ISSUER": "tests"}


async def test_the_service_accepts_the_token_with_its_scopes_until_it_expires() -> None:
    tokens = Tokens(shared_secret(SECRET), algorithms=("HS256",), audience="orders", issuer="tests")
    for options, scopes, lifetime in (
        ([], {"users:read", "users:write"}, 3600),
        (["--scope", "users:erase", "--lifetime", "60"], {"users:erase"}, 60),
    ):
        output = await tandem_with(SERVICE, "token", "alice", *options)
        assert (output.status, output.err) == (0, "")
        caller = await tokens.caller(f"Bearer {output.out}")
        assert (caller.subject, set(caller.scopes)) == ("alice", scopes)
        assert caller.expires is not None
        assert caller.expires - time.time() == pytest.approx(lifetime, abs=30)
        assert SECRET not in output.out


@pytest.mark.parametrize(
    ("service", "sentence"),
    [
        ({}, "AUTH_SECRET is not set"),
        ({"TANDEM_ENV": "production"}, "AUTH_SECRET is not set"),
        ({"AUTH_SECRET": "too short"}, "at least 32 bytes"),
        (
            {"AUTH_JWKS_URL": "https://issuer.example/keys", "AUTH_AUDIENCE": "orders"},
            "the issuer of AUTH_JWKS_URL",
        ),
    ],
)
async def test_without_a_secret_it_fails_with_one_line(
    service: dict[str, str], sentence: str
) -> None:
    output = await tandem_with(service, "token", "alice")
    assert (output.status, output.out) == (1, "")
    assert len(output.err.splitlines()) == 1
    assert sentence in output.err
    assert service.get("AUTH_SECRET", SECRET) not in output.err
