"""The trace of a request and the id of its command (W3C Trace Context).

The trace of a client's `traceparent` is in every line of the log and in the metadata of every event of its
command; without one, the request gets a new trace. With OpenTelemetry (api/observability/otel.py) it also
has a span.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Final, Protocol
from uuid import UUID

_TRACEPARENT: Final = re.compile(
    "(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)
"""Versions after 00 may have more fields after the flags."""

_VERSION_00_CHARACTERS: Final = 55

TRACE_ID: Final = slice(3, 35)
"""The trace id in a traceparent."""


class Span(Protocol):
    """The OpenTelemetry span of a request."""

    @property
    def traceparent(self) -> str:
        """The traceparent for child spans."""

    def set_attributes(self, attributes: Mapping[str, str]) -> None: ...
    def end(self) -> None: ...


StartSpan = Callable[[str | None], Span]
"""Starts a span; the argument is the client's traceparent."""


class Trace:
    """The trace of one request; leaving its context ends the span. Ids are generated on first use."""

    __slots__ = ("_span", "_traceparent", "command_id")

    start_span: StartSpan | None = None
    """Set for the whole process, by api/observability/otel.py."""

    def __init__(self, traceparent: str | None = None) -> None:
        """`traceparent` is the client's; an invalid one is ignored."""
        self.command_id: UUID | None = None
        """The id of the command that the request executes, or executed last."""
        is_valid = traceparent and trace_id_of(traceparent)
        self._traceparent = (
            traceparent[:_VERSION_00_CHARACTERS] if traceparent and is_valid else None
        )
        self._span = Trace.start_span(self._traceparent) if Trace.start_span is not None else None
        if self._span is not None:
            self._traceparent = self._span.traceparent

    def __enter__(self) -> Trace:
        _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._span is not None:
            self._span.end()

    @property
    def traceparent(self) -> str:
        """The traceparent for child spans."""
        if self._traceparent is None:
            random_id = secrets.token_hex(24)
            self._traceparent = f"00-{random_id[:32]}-{random_id[32:]}-00"
        return self._traceparent

    @property
    def id(self) -> str:
        """The trace id: 32 hexadecimal digits."""
        return self.traceparent[TRACE_ID]

    def set_attributes(self, **attributes: str | None) -> None:
        """Adds those attributes to the span that are not None, if there is a span."""
        if self._span is not None:
            present = {name: value for name, value in attributes.items() if value is not None}
            self._span.set_attributes(present)


_current: ContextVar[Trace] = ContextVar("trace")


def current_trace() -> Trace | None:
    """Returns the trace of the request that the current task belongs to; None outside of a request."""
    return _current.get(None)


def trace_id_of(traceparent: str) -> str | None:
    """Returns the trace id of a traceparent; None for an invalid one."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1] if match and match[1].strip("0") and match[2].strip("0") else None
