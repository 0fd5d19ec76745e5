"""Logs one line per failed operation: name, codes, paths, duration and caller; no values."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog

from api.auth.scopes import Caller
from api.errors import Formatted
from api.trace import current_trace

_SERVICE_FAULTS: Final = frozenset(
    {
        "READ_MODEL_BEHIND",
        "READ_MODEL_REBUILDING",
        "READ_MODEL_UNAVAILABLE",
        "WRITE_MODEL_UNAVAILABLE",
        "OVERLOADED",
        "DEADLINE_EXCEEDED",
    }
)
"""Codes of failures of the service, not of the request: these are warnings."""

_MAX_PATHS: Final = 5
"""Paths in a line."""

_MAX_PATH_LENGTH: Final = 100
"""Characters of a path: its names are chosen by the client."""

_NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,63}")

log = structlog.get_logger("tandem.api")


def log_failure(
    errors: Sequence[Formatted],
    caller: Caller,
    *,
    name: str | None = None,
    started: float | None = None,
) -> None:
    """Logs the errors of an operation, unless INTERNAL is the only code: that has its own line already.

    `name` is the operation's, as the client sent it; `started` is a time of time.perf_counter.
    """
    codes = sorted({error["extensions"]["code"] for error in errors})
    if codes == ["INTERNAL"]:
        return
    paths = [_path(error["path"]) for error in errors[:_MAX_PATHS] if error.get("path")]
    operation = name if name is not None and _NAME.fullmatch(name) else None
    if (trace := current_trace()) is not None:
        trace.set_attributes(codes=" ".join(codes), operation=operation)
    fields: dict[str, Any] = {
        "operation": operation,
        "codes": codes,
        "paths": paths or None,
        "caller": caller.subject_hash,
        "ms": None if started is None else round((time.perf_counter() - started) * 1000, 1),
    }
    write = log.info if _SERVICE_FAULTS.isdisjoint(codes) else log.warning
    write("operation.failed", **{key: value for key, value in fields.items() if value is not None})


def _path(path: Sequence[str | int]) -> str:
    """Returns the parts of the path joined by dots, truncated to _MAX_PATH_LENGTH."""
    text = ".".join(str(part)[:_MAX_PATH_LENGTH] for part in path[:_MAX_PATH_LENGTH])
    return text if len(text) <= _MAX_PATH_LENGTH else f"{text[:_MAX_PATH_LENGTH]}…"
