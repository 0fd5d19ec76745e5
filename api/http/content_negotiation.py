"""Which media type a request is in, and which one its response gets (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from api.auth.csrf import forces_preflight

JSON: Final = "application/json"
RESPONSE: Final = "application/graphql-response+json"
STREAM: Final = "text/event-stream"
HTML: Final = "text/html"

_ANY: Final = {"*/*": (JSON,), "application/*": (JSON,), "text/*": ()}


@lru_cache(maxsize=256)
def is_json(content_type: bytes) -> bool:
    """Whether a body of this Content-Type is JSON in UTF-8. No other is executed: see forces_preflight."""
    _, parameters = _parse(content_type.decode("latin-1"))
    return forces_preflight(content_type) and parameters.get("charset", "utf-8").lower() in {
        "utf-8",
        "utf8",
    }


@lru_cache(maxsize=256)
def negotiate(accept: bytes, offered: tuple[str, ...]) -> str | None:
    """The offered media type that the client likes best; of two it likes equally, the one it names
    first. None if it takes none of them. A wildcard means application/json.
    """
    wanted = [_parse(part) for part in accept.decode("latin-1").split(",")]
    never = {media for media, parameters in wanted if _quality(parameters) == 0}
    best, best_quality = None, 0.0
    for media, parameters in wanted:
        quality = _quality(parameters)
        if quality <= best_quality or parameters.get("charset", "utf-8").lower() != "utf-8":
            continue
        for candidate in _ANY.get(media, (media,)):
            if candidate in offered and candidate not in never:
                best, best_quality = candidate, quality
    return best


def _parse(text: str) -> tuple[str, dict[str, str]]:
    media, *rest = text.split(";")
    pairs = (parameter.partition("=") for parameter in rest)
    return media.strip().lower(), {
        name.strip().lower(): value.strip().strip('"') for name, _, value in pairs
    }


def _quality(parameters: dict[str, str]) -> float:
    """The weight of a media range; what is no weight at all counts as refused."""
    try:
        return min(1.0, max(0.0, float(parameters.get("q", "1"))))
    except ValueError:
        return 0.0
