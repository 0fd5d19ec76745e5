"""Everything the transports ask about a request before it is executed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from api.auth.csrf import (
    check_get,
    forbidden,
    is_from_here,
    may_open_socket,
    names_this_machine,
)
from api.auth.rate_limit import RateLimiter, client_network
from api.auth.scopes import UNRESTRICTED, Caller
from api.auth.scopes import Scope as Allows
from api.auth.tokens import no_token, unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Scope

    from api.auth.csrf import Headers
    from api.auth.tokens import Tokens


_MISSING_AUTHORIZATION: Final = (
    'A token is needed: send {"Authorization": "Bearer <token>"} in the payload of connection_init.'
)
"""Of at most 112 bytes, because it is the reason of a close frame, after "Forbidden: "."""

Client = tuple[str, int] | None
"""The address that a request comes from, as ASGI tells it."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Without any of it everybody may do everything, from pages of our own origin."""

    tokens: Tokens | None = None
    origins: tuple[str, ...] = ()
    """Other origins whose pages may ask."""
    graphiql: bool = True
    rate: RateLimiter | None = None
    local: bool = False
    """Whether only clients that ask for localhost or for an address are answered."""

    def check_page(self, headers: Headers, method: str) -> None:
        """Raises FORBIDDEN for a request that a page of another site may have caused."""
        if self.local and not names_this_machine(headers):
            raise forbidden(
                "Without tokens we answer to localhost and to addresses alone: ask there, or set"
                " AUTH_SECRET or AUTH_JWKS_URL, or say --allow-anonymous."
            )
        if method == "GET":
            check_get(headers, self.origins)

    def allows_websocket(self, headers: Headers) -> bool:
        """Whether a WebSocket is asked for by no page, by one of ours, or by one of an allowed origin."""
        here = not self.local or names_this_machine(headers)
        return here and may_open_socket(headers, self.origins)

    async def check_insider(self, scope: Scope) -> None:
        """Raises for whoever is neither on this machine nor has a token that may read."""
        if is_from_here(scope):
            return
        if self.tokens is None:
            raise forbidden("This is told on the machine itself alone; elsewhere, set HEALTH_PORT.")
        caller = await self.tokens.caller(authorization(scope["headers"]))
        if not caller.known:
            raise no_token()
        if Allows.READ not in caller.scopes:
            raise forbidden(f"The token does not allow {Allows.READ}.")

    @property
    def is_open(self) -> bool:
        """Whether every request is EVERYBODY's: then there is no need to ask for the caller."""
        return self.tokens is None and self.rate is None

    async def caller(self, token: str | None, client: Client) -> Caller:
        """Who sends an HTTP request; NOBODY if it has no token. Raises UNAUTHENTICATED.

        `token` is what `authorization` found.
        """
        if self.tokens is None:
            return self._from(client, UNRESTRICTED)
        return self._from(client, await self.tokens.caller(token))

    async def caller_from_init(self, payload: dict[str, Any] | None, scope: Scope) -> Caller:
        """Who opens a WebSocket: by connection_init, or by the handshake. Raises UNAUTHENTICATED."""
        if self.tokens is None:
            return self._from(scope.get("client"), UNRESTRICTED)
        given = _in_payload(payload or {}, authorization(scope["headers"]))
        if not isinstance(given, str):
            raise unauthenticated(_MISSING_AUTHORIZATION)
        return self._from(scope.get("client"), await self.tokens.caller(given))

    def _from(self, client: Client, caller: Caller) -> Caller:
        """The address too, if it is what the rate is counted by."""
        if self.rate is None or caller.subject is not None:
            return caller
        host, _ = client or ("", 0)
        return replace(caller, address=client_network(host))


def _in_payload(payload: dict[str, Any], otherwise: str | None) -> object:
    """Returns the value of Authorization, in any letter case. Raises UNAUTHENTICATED if there are two."""
    given = [value for name, value in payload.items() if name.lower() == "authorization"]
    if len(given) > 1:
        raise unauthenticated("Authorization must come once in the payload of connection_init.")
    return given[0] if given else otherwise


def authorization(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """What the header of this name says. Raises UNAUTHENTICATED if there are two."""
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) > 1:
        raise unauthenticated("The header Authorization must come once.")
    return given[0].decode("latin-1") if given else None
