"""Everything the transports ask about a request before it is executed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Access:
    """Without any of it everybody may do everything, from pages of our own origin."""

    origins: tuple[str, ...] = ()
    """Other origins whose pages may ask."""
    graphiql: bool = True
