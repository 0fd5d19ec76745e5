"""Environment variables that were settings once: accepted, and reported by a warning at start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from api.auth.jwks import MIN_FETCH_INTERVAL_SECONDS
from api.auth.tokens import LEEWAY_SECONDS
from api.limits import Limits
from api.runtime.drivers import CONNECTION_MAX_AGE_SECONDS

_FIXED: Final = "is not a setting any more; its value is"

_REPLACED: Final = {
    "AUTH_LEEWAY": f"{_FIXED} {LEEWAY_SECONDS:g}",
    "AUTH_JWKS_INTERVAL": f"{_FIXED} {MIN_FETCH_INTERVAL_SECONDS:g}",
    "CONNECTION_MAX_AGE": f"{_FIXED} {CONNECTION_MAX_AGE_SECONDS:g}",
    "GRAPHIQL": "is not a setting any more; GraphiQL is shown if INTROSPECTION shows the schema",
    "LIMIT_QUERIES": "is LIMIT_CONCURRENCY now",
    "LIMIT_MUTATIONS": "is LIMIT_CONCURRENCY now",
    "REDIS_CONNECTIONS": "is not a setting any more; queries share one connection",
    "LIMIT_SOCKETS": f"{_FIXED} half of LIMIT_CONNECTIONS",
    "LIMIT_RESPONSE_FIELDS": f"{_FIXED} 4 x LIMIT_COST_BUDGET, but at least 20000",
}
"""What became of settings that were merged or removed. Each fixed limit was one too."""


def removed_settings(environment: Mapping[str, str]) -> Iterator[str]:
    """Yields a sentence for each variable of the environment that was a setting once."""
    for name in sorted(map(str.upper, environment)):
        limit = name.removeprefix("LIMIT_").lower()
        if name in _REPLACED:
            yield f"{name} {_REPLACED[name]}."
        elif name.startswith("LIMIT_") and limit in Limits.__class_vars__:
            yield f"{name} {_FIXED} {getattr(Limits, limit)}."
