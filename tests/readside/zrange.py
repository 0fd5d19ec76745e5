"""ZRANGE on a list, for tests that answer reads without Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any


def zrange(
    positions: Iterable[Any], arguments: Sequence[str], parse: Callable[[str], Any] = str
) -> list[Any]:
    """Returns what ZRANGE with these arguments after the key returns of ascending positions."""
    start, stop, *options = arguments
    low, high = (stop, start) if "REV" in options else (start, stop)
    found = [
        position
        for position in positions
        if (low in ("-", "-inf") or position > parse(low.removeprefix("(")))
        and (high in ("+", "+inf") or position < parse(high.removeprefix("(")))
    ]
    limit = int(options[options.index("LIMIT") + 2])
    return (found[::-1] if "REV" in options else found)[:limit]
