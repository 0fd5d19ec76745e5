"""Tokens of a test issuer."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import jwt

from api.auth.access import Access
from api.auth.scopes import ALL_SCOPES
from api.auth.tokens import Tokens, shared_secret

SECRET = "a secret of the tests that is long enough"
AUDIENCE = "tandem"
ISSUER = "https://issuer.example.com"
EVERYTHING = " ".join(ALL_SCOPES)


def claims(**changed: Any) -> dict[str, Any]:
    """Returns the claims of a valid token with these changes; None removes a claim."""
    given = {
        "sub": "alice@example.com",
        "aud": AUDIENCE,
        "iss": ISSUER,
        "exp": time.time()
        + 3600,  # for longer than a run: some are signed when tests are collected
        "scope": EVERYTHING,
        **changed,
    }
    return {name: value for name, value in given.items() if value is not None}


def signed(
    key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **changed: Any
) -> str:
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers=headers)


def raw(header: object, payload: object) -> str:
    """A token without a signature, as only an attacker writes it."""
    return f"{_part(json.dumps(header).encode())}.{_part(json.dumps(payload).encode())}."


def forged_with(secret: bytes, header: object, payload: object) -> str:
    """A token that PyJWT would not write, with the signature of HS256."""
    unsigned = raw(header, payload)[:-1]
    return f"{unsigned}.{_part(hmac.digest(secret, unsigned.encode(), 'sha256'))}"


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def with_tokens(secret: str = SECRET, **changed: Any) -> Access:
    """Returns access control that requires a token of the test issuer."""
    given = {"algorithms": ("HS256",), "audience": AUDIENCE, "issuer": ISSUER, **changed}
    return Access(tokens=Tokens(shared_secret(secret), **given))
