"""Checks bearer tokens, which are JWTs, and returns their callers (RFC 6750, 7519, 8725)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import jwt
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from api.auth.claims import ScopeClaims, is_access_token, is_for_client
from api.auth.scopes import ANONYMOUS, Caller
from api.errors import Formatted, RequestError, formatted

MAX_TOKEN_CHARACTERS: Final = 8192

LEEWAY_SECONDS: Final = 10.0
"""Seconds by which the clock of the issuer may differ."""

_YEAR_3000: Final = 32_503_680_000.0
"""The expiry of tokens that expire even later, in seconds since 1970."""


_REASONS: Final[dict[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "has expired",
    jwt.ImmatureSignatureError: "is not valid yet",
    jwt.InvalidAudienceError: "is meant for another audience",
    jwt.InvalidIssuerError: "comes from another issuer",
    jwt.InvalidAlgorithmError: "is signed in a way that is not allowed",
    jwt.MissingRequiredClaimError: "lacks a claim that is needed",
    InvalidSubjectError: "has a claim sub that is not a string (RFC 7519, section 4.1.2)",
    InvalidJTIError: "has a claim jti that is not a string (RFC 7519, section 4.1.7)",
    jwt.InvalidIssuedAtError: "has a claim iat that is not a number (RFC 7519, section 4.1.6)",
}

Key = Any
"""A key of PyJWT."""

FindKey = Callable[[dict[str, Any]], Awaitable[Key]]
"""Returns the key for a token with this header. Raises InvalidToken."""


def shared_secret(secret: str) -> FindKey:
    """Returns a function that finds the same secret for every token."""

    async def find(_header: dict[str, Any]) -> Key:
        return secret

    return find


class InvalidToken(Exception):
    """The token is refused; str() continues a sentence that starts with "The token"."""


class Tokens:
    """Checks tokens. Accepts the given algorithms only, whatever the header of a token says."""

    def __init__(
        self,
        find: FindKey,
        *,
        algorithms: tuple[str, ...],
        audience: str | None = None,
        issuer: str | None = None,
        leeway: float = 0,
        scope_claims: ScopeClaims | None = None,
    ) -> None:
        """`leeway`: seconds by which clocks may differ."""
        self._find = find
        self._algorithms = algorithms
        self._audience = audience
        self._issuer = issuer
        self._leeway = leeway
        self._scope_claims = scope_claims or ScopeClaims()

    async def caller(self, authorization: str | None) -> Caller:
        """Returns the caller; ANONYMOUS if there is no token. Raises UNAUTHENTICATED."""
        if authorization is None:
            return ANONYMOUS
        claims = await self._claims(_bearer(authorization))
        return Caller(
            scopes=self._scope_claims.scopes(claims),
            subject=claims.get("sub"),
            # PyJWT has checked it with int(); float() would raise for one of 400 digits.
            expires=min(int(claims["exp"]), _YEAR_3000) + self._leeway,
        )

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self._algorithms:
                raise jwt.InvalidAlgorithmError
            claims = self._checked(token, await self._find(header))
            if not is_access_token(claims):
                raise InvalidToken("is an ID token, and an access token is needed")
            return claims
        except InvalidToken as error:
            raise _invalid(str(error)) from None
        except Exception as error:  # a token is hostile input: any error makes it invalid
            reason = next((_REASONS[cls] for cls in type(error).__mro__ if cls in _REASONS), None)
            raise _invalid(reason or "cannot be read, or its signature is wrong") from None

    def _checked(self, token: str, key: Key) -> dict[str, Any]:
        """Returns the claims. A token without the claim `aud` must be issued to the client AUTH_AUDIENCE."""
        try:
            return self._decoded(token, key)
        except jwt.MissingRequiredClaimError as error:
            if error.claim != "aud" or self._audience is None:
                raise
            claims = self._decoded(token, key, verify_aud=False)
            if "aud" in claims or not is_for_client(claims, self._audience):
                raise
            return claims

    def _decoded(self, token: str, key: Key, verify_aud: bool = True) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=list(self._algorithms),
            audience=self._audience,
            issuer=self._issuer,
            leeway=self._leeway,
            options={"require": ["exp"], "verify_aud": verify_aud},
        )


def unauthenticated(message: str, challenge: bytes = b"Bearer") -> RequestError:
    errors, header = [formatted("UNAUTHENTICATED", message)], (b"www-authenticate", challenge)
    return RequestError(errors, status=401, well_formed=False, header=header)


def expired() -> RequestError:
    return _invalid(_REASONS[jwt.ExpiredSignatureError])


async def end_at_expiry(
    seconds_left: float, results: AsyncGenerator[Formatted, None]
) -> AsyncGenerator[Formatted, None]:
    """Yields the results. Raises UNAUTHENTICATED after `seconds_left`."""
    deadline = asyncio.get_running_loop().time() + seconds_left
    async with aclosing(results):
        while True:
            try:  # a timeout for each result: one around `yield` would cancel the caller
                async with asyncio.timeout_at(deadline) as timeout:
                    result = await anext(results)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if timeout.expired():
                    raise expired() from None
                raise
            yield result


def no_token() -> RequestError:
    return unauthenticated("A token is needed: send the header Authorization: Bearer <token>.")


def _invalid(reason: str) -> RequestError:
    return unauthenticated(f"The token {reason}; get another one.", b'Bearer error="invalid_token"')


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or len(token) > MAX_TOKEN_CHARACTERS:
        raise _invalid(
            f"must come as Authorization: Bearer <token>, in at most {MAX_TOKEN_CHARACTERS} characters"
        )
    return token.strip()
