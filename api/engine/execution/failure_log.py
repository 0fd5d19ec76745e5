"""One line in the log for each operation that fails: what, where, how long, for whom; no values."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from api.trace import current_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.auth.scopes import Caller
    from api.errors import Formatted

OURS: Final = frozenset(
    {
        "READ_MODEL_BEHIND",
        "READ_MODEL_REBUILDING",
        "READ_MODEL_UNAVAILABLE",
        "WRITE_MODEL_UNAVAILABLE",
        "OVERLOADED",
        "DEADLINE_EXCEEDED",
    }
)
"""The codes that say something of the service and not of the request."""

_MOST: Final = 5
"""Paths in a line."""

_LONGEST: Final = 100
"""Characters of a path: its names are those that the client has made up."""

_NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,63}")

log = structlog.get_logger("tandem.api")


def tell(
    errors: Sequence[Formatted],
    caller: Caller,
    *,
    name: str | None = None,
    since: float | None = None,
) -> None:
    """Writes the line. An INTERNAL error has its own already, so one that is alone gets no other.

    `name` is the operation's, as the client says it; `since` is when it began (time.perf_counter).
    """
    codes = sorted({error["extensions"]["code"] for error in errors})
    if codes == ["INTERNAL"]:
        return
    paths = [_path(error["path"]) for error in errors[:_MOST] if error.get("path")]
    operation = name if name is not None and _NAME.fullmatch(name) else None
    if (trace := current_trace()) is not None:
        trace.set_attributes(codes=" ".join(codes), operation=operation)
    fields: dict[str, Any] = {
        "operation": operation,
        "codes": codes,
        "paths": paths or None,
        "caller": caller.subject_hash,
        "ms": None if since is None else round((time.perf_counter() - since) * 1000, 1),
    }
    write = log.info if OURS.isdisjoint(codes) else log.warning
    write("operation.failed", **{key: value for key, value in fields.items() if value is not None})


def _path(path: Sequence[str | int]) -> str:
    """Returns the path with dots between its parts, cut off where it is too long for a line."""
    text = ".".join(str(part)[:_LONGEST] for part in path[:_LONGEST])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
