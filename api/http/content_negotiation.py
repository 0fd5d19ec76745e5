"""Media types of a request and of its response (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from api.auth.csrf import forces_preflight

JSON: Final = "application/json"
RESPONSE: Final = "application/graphql-response+json"
STREAM: Final = "text/event-stream"
_MIXED: Final = "multipart/mixed"
MULTIPART: Final = f"{_MIXED};subscriptionSpec=1.0"
HTML: Final = "text/html"

_MAX_RANGES: Final = 50
"""Elements of Accept or Accept-Encoding that are read; no client needs more, and each takes microseconds."""

_ANY: Final = {"*/*": (JSON,), "application/*": (JSON,), "text/*": ()}


@lru_cache(maxsize=256)
def is_json(content_type: bytes) -> bool:
    """Returns True for JSON in UTF-8. A body of another type is not executed: see forces_preflight."""
    _, parameters = parse(content_type.decode("latin-1"))
    return forces_preflight(content_type) and parameters.get("charset", "utf-8").lower() in {
        "utf-8",
        "utf8",
    }


@lru_cache(maxsize=256)
def negotiate(accept: bytes, offered: tuple[str, ...]) -> str | None:
    """Returns the offered media type that the client prefers, or None if it accepts none of them.

    Of two with equal weight, the one named first is preferred. A wildcard means application/json.
    """
    ranges = parse_ranges(accept)
    excluded = {media for media, parameters in ranges if weight_of(parameters) == 0}
    best, best_quality = None, 0.0
    for media, parameters in ranges:
        quality = weight_of(parameters)
        if quality <= best_quality or parameters.get("charset", "utf-8").lower() != "utf-8":
            continue
        for candidate in _ANY.get(media, (media,)):
            if candidate in offered and candidate not in excluded:
                best, best_quality = candidate, quality
    return best


def parse_ranges(header: bytes) -> list[tuple[str, dict[str, str]]]:
    """Returns the first elements of Accept or Accept-Encoding, each with its parameters."""
    elements = header.decode("latin-1").split(",", _MAX_RANGES)
    return [parse(element) for element in elements[:_MAX_RANGES]]


def parse(text: str) -> tuple[str, dict[str, str]]:
    """Returns an element of Accept or Accept-Encoding, in lower case, and its parameters."""
    media, *rest = text.split(";")
    pairs = (parameter.partition("=") for parameter in rest)
    parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    media = media.strip().lower()
    if media == _MIXED:  # its parameter says what the parts are
        media = f"{media};subscriptionSpec={parameters.get('subscriptionspec')}"
    return media, parameters


def weight_of(parameters: dict[str, str]) -> float:
    """Returns the weight among the parameters; an invalid weight counts as 0."""
    try:
        return min(1.0, max(0.0, float(parameters.get("q", "1"))))
    except ValueError:
        return 0.0
