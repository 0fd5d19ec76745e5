"""Environment variables that were settings once: accepted, and reported by a warning at start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Final

from api.limits import Limits

_REPLACED: Final = {
    "GRAPHIQL": "is not a setting any more; GraphiQL is shown if INTROSPECTION shows the schema",
    "LIMIT_QUERIES": "is LIMIT_CONCURRENCY now",
    "LIMIT_MUTATIONS": "is LIMIT_CONCURRENCY now",
    "REDIS_CONNECTIONS": "is not a setting any more; queries share one connection",
}
"""What replaces settings that were merged or removed."""

_CONSTANTS: Final = {
    "AUTH_LEEWAY": ("api.auth.tokens", "LEEWAY_SECONDS"),
    "AUTH_JWKS_INTERVAL": ("api.auth.jwks", "MIN_FETCH_INTERVAL_SECONDS"),
    "CONNECTION_MAX_AGE": ("api.runtime.drivers", "CONNECTION_MAX_AGE_SECONDS"),
}
"""Module and name of the constants that were settings; imported only where one is still set."""

_DERIVED: Final = {
    "LIMIT_SOCKETS": "half of LIMIT_CONNECTIONS",
    "LIMIT_RESPONSE_FIELDS": "4 x LIMIT_COST_BUDGET, but at least 20000",
}


def removed_settings(environment: Mapping[str, str]) -> Iterator[str]:
    """Yields a sentence for each variable of the environment that was a setting once."""
    for name in sorted(map(str.upper, environment)):
        if name in _REPLACED:
            yield f"{name} {_REPLACED[name]}."
        elif (value := _fixed_value(name)) is not None:
            yield f"{name} is not a setting any more; its value is {value}."


def _fixed_value(name: str) -> str | None:
    limit = name.removeprefix("LIMIT_").lower()
    if name in _CONSTANTS:
        module, constant = _CONSTANTS[name]
        return f"{getattr(import_module(module), constant):g}"
    if name.startswith("LIMIT_") and limit in Limits.__class_vars__:
        return str(getattr(Limits, limit))
    return _DERIVED.get(name)
