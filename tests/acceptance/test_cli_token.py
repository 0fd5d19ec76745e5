"""tandem token: prints a token that the service accepts, and never the secret."""

from __future__ import annotations

import os
import time

import pytest

from api.auth.tokens import Tokens, shared_secret
from tests.acceptance.cli import run

SECRET = "a secret of more than 32 bytes, for tests"
SERVICE = {"AUTH_SECRET": SECRET, "AUTH_AUDIENCE": "orders", "AUTH_ISSUER": "tests"}


async def test_the_service_accepts_the_token_with_its_scopes_until_it_expires() -> None:
    tokens = Tokens(shared_secret(SECRET), algorithms=("HS256",), audience="orders", issuer="tests")
    environ = os.environ | SERVICE
    for options, scopes, lifetime in (
        ([], {"users:read", "users:write"}, 3600),
        (["--scope", "users:erase", "--lifetime", "60"], {"users:erase"}, 60),
    ):
        said = await run(environ, "token", "alice", *options)
        assert (said.status, said.err) == (0, "")
        caller = await tokens.caller(f"Bearer {said.out}")
        assert (caller.subject, set(caller.scopes)) == ("alice", scopes)
        assert caller.expires is not None
        assert caller.expires - time.time() == pytest.approx(lifetime, abs=30)
        assert SECRET not in said.out


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
async def test_without_a_secret_it_is_refused_in_one_sentence(
    service: dict[str, str], sentence: str
) -> None:
    said = await run(os.environ | service, "token", "alice")
    assert (said.status, said.out) == (1, "")
    assert len(said.err.splitlines()) == 1
    assert sentence in said.err
    assert service.get("AUTH_SECRET", SECRET) not in said.err
