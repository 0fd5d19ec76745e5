"""The access checks of a request before it is executed, on every transport."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.types import Scope

from api.auth.csrf import (
    Headers,
    check_get,
    forbidden,
    has_local_host,
    is_local_client,
    opens_from_allowed_page,
)
from api.auth.rate_limit import RateLimiter, client_network
from api.auth.scopes import UNRESTRICTED, Caller, scopes
from api.auth.stream_tokens import StreamTokens, stream_token_of
from api.auth.tokens import Tokens, no_token, unauthenticated

_MISSING_AUTHORIZATION: Final = (
    'A token is needed: send {"Authorization": "Bearer <token>"} in the payload of connection_init.'
)
"""At most 112 bytes, because it is the reason of a close frame, after "Forbidden: "."""

Client = tuple[str, int] | None
"""The address and port of the client, from the ASGI scope."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """With the defaults, authentication is off and only pages of the same origin may call the API."""

    tokens: Tokens | None = None
    stream_tokens: StreamTokens | None = None
    origins: tuple[str, ...] = ()
    """Other origins whose pages may call the API."""
    graphiql: bool = True
    rate: RateLimiter | None = None
    registers_documents: bool = False
    """True if clients may register documents, the number of which is limited for each caller."""
    local_only: bool = False
    """True if only requests whose Host is localhost or an IP address are accepted."""

    def check_cross_site(self, headers: Headers, method: str) -> None:
        """Raises FORBIDDEN for a request that a page of another site may have sent."""
        if self.local_only and not has_local_host(headers):
            raise forbidden(
                "Authentication is off, so only requests to localhost or an IP address are accepted. Set"
                " AUTH_SECRET or AUTH_JWKS_URL, or start with --allow-anonymous."
            )
        if method == "GET":
            check_get(headers, self.origins)

    def allows_websocket(self, headers: Headers) -> bool:
        """Returns True for a handshake of no page, or of a page of the same or an allowed origin."""
        is_local = not self.local_only or has_local_host(headers)
        return is_local and opens_from_allowed_page(headers, self.origins)

    async def check_operator(self, scope: Scope) -> None:
        """Raises FORBIDDEN or UNAUTHENTICATED unless the client is local or has a token that may read."""
        if is_local_client(scope):
            return
        if self.tokens is None:
            raise forbidden("Available from localhost only; set HEALTH_PORT to expose it.")
        caller = await self.tokens.caller(authorization(scope["headers"]))
        if not caller.is_authenticated:
            raise no_token()
        if caller.scopes.isdisjoint(scopes("read")):
            raise forbidden(f"The token does not allow {' or '.join(scopes('read'))}.")

    @property
    def is_unrestricted(self) -> bool:
        """True if every caller is UNRESTRICTED, so `caller` need not be called."""
        return self.tokens is None and not self._counts_callers

    @property
    def _counts_callers(self) -> bool:
        """True if an allowance is counted for each caller: of operations, stream tokens or registrations."""
        return bool(self.rate or self.stream_tokens or self.registers_documents)

    async def caller(self, token: str | None, client: Client) -> Caller:
        """Returns the caller of an HTTP request; ANONYMOUS without a token. Raises UNAUTHENTICATED.

        `token` is the result of `authorization`.
        """
        if self.tokens is None:
            return self._with_address(client, UNRESTRICTED)
        return self._with_address(client, await self.tokens.caller(token))

    async def stream_caller(self, token: str | None, scope: Scope) -> Caller:
        """Returns the caller of a stream, which may also be named by a stream token in the URL.

        Raises UNAUTHENTICATED, also if there are both.
        """
        client = scope.get("client")
        if (
            self.stream_tokens is None
            or (stream_token := stream_token_of(scope["query_string"])) is None
        ):
            return await self.caller(token, client)
        if token is not None:
            raise unauthenticated(
                "Send the header Authorization or access_token in the URL, not both."
            )
        return self._with_address(client, await self.stream_tokens.redeem(stream_token))

    async def caller_from_init(self, payload: dict[str, Any] | None, scope: Scope) -> Caller:
        """Returns the caller that connection_init or the handshake names. Raises UNAUTHENTICATED."""
        if self.tokens is None:
            return self._with_address(scope.get("client"), UNRESTRICTED)
        token = _token_of_payload(payload or {}, authorization(scope["headers"]))
        if not isinstance(token, str | None):
            raise unauthenticated(_MISSING_AUTHORIZATION)
        caller = await self.stream_caller(token, scope)
        if not caller.is_authenticated:
            raise unauthenticated(_MISSING_AUTHORIZATION)
        return caller

    def _with_address(self, client: Client, caller: Caller) -> Caller:
        """Adds the address to a caller without a subject, if callers are counted."""
        if caller.subject is not None or not self._counts_callers:
            return caller
        host, _ = client or ("", 0)
        return replace(caller, address=client_network(host))


def _token_of_payload(payload: dict[str, Any], header: str | None) -> object:
    """Returns the value of Authorization, in any letter case. Raises UNAUTHENTICATED if there are two."""
    values = [value for name, value in payload.items() if name.lower() == "authorization"]
    if len(values) > 1:
        raise unauthenticated("Authorization must come once in the payload of connection_init.")
    return values[0] if values else header


def authorization(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Returns the header Authorization. Raises UNAUTHENTICATED if there are two."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) > 1:
        raise unauthenticated("The header Authorization must come once.")
    return values[0].decode("latin-1") if values else None
