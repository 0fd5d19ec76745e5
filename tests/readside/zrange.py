"""ZRANGE on a list, for tests that answer reads without Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any


def as_bytes(text: str) -> bytes:
    """Returns a text as Redis compares it; U+DC80 to U+DCFF stand for the bytes 128 to 255."""
    return text.encode(errors="surrogateescape")


def zrange(
    positions: Iterable[Any], arguments: Sequence[str], parse: Callable[[str], Any] = as_bytes
) -> list[Any]:
    """Returns what ZRANGE with these arguments after the key returns of ascending positions."""
    start, stop, *options = arguments
    low, high = (stop, start) if "REV" in options else (start, stop)
    found = [
        position
        for position in positions
        if (low in ("-", "-inf") or _is_within(parse(low[1:]), parse(str(position)), low[0]))
        and (high in ("+", "+inf") or _is_within(parse(str(position)), parse(high[1:]), high[0]))
    ]
    limit = int(options[options.index("LIMIT") + 2]) if "LIMIT" in options else None
    return (found[::-1] if "REV" in options else found)[:limit]


def _is_within(low: Any, high: Any, sign: str) -> bool:
    return bool(low < high or (sign == "[" and low == high))
