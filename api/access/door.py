"""Everything the transports ask about a request before it is executed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.access.scopes import EVERYBODY, Caller
from api.access.tokens import no_token, unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.access.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class Access:
    """Without any of it everybody may do everything, from pages of our own origin."""

    tokens: Tokens | None = None
    origins: tuple[str, ...] = ()
    """Other origins whose pages may ask."""
    graphiql: bool = True

    async def by_header(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Who sends an HTTP request; NOBODY if it has no token. Raises UNAUTHENTICATED."""
        if self.tokens is None:
            return EVERYBODY
        return await self.tokens.caller(_authorization(headers))

    async def by_payload(
        self, payload: dict[str, Any] | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> Caller:
        """Who opens a WebSocket: by connection_init, or by the handshake. Raises UNAUTHENTICATED."""
        if self.tokens is None:
            return EVERYBODY
        named = {name.lower(): value for name, value in (payload or {}).items()}
        given = named.get("authorization", _authorization(headers))
        if not isinstance(given, str):
            raise no_token()
        return await self.tokens.caller(given)


def _authorization(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) > 1:
        raise unauthenticated("The header Authorization must come once.")
    return given[0].decode("latin-1") if given else None
