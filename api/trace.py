"""Which trace a request belongs to, and which command it carries out (W3C Trace Context).

A client that sends `traceparent` finds its trace in every line of the log and in the metadata of every event
that its command causes; who sends none gets a trace of its own. With OpenTelemetry
(api/observability/otel.py) each trace also has a span.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from uuid import UUID

_FORM: Final = re.compile("(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
"""Versions after 00 may go on behind the flags."""

_LENGTH: Final = 55
"""Characters of a traceparent of today."""


class Span(Protocol):
    """What OpenTelemetry makes of a request."""

    @property
    def parent(self) -> str:
        """The traceparent for whatever comes of it."""

    def note(self, facts: Mapping[str, str]) -> None: ...
    def end(self) -> None: ...


StartSpan = Callable[[str | None], Span]
"""Given the client's traceparent."""


class Trace:
    """Of one request; `with` it, its end is told. What costs something is made when somebody asks for it."""

    __slots__ = ("_parent", "_span", "command_id")

    start_span: StartSpan | None = None
    """Set for the whole process, by api/observability/otel.py."""

    def __init__(self, given: str | None = None) -> None:
        """`given` is the client's traceparent; one that is none is as if it had not come."""
        self.command_id: UUID | None = None
        """The command that is carried out now, or was last."""
        self._parent = given[:_LENGTH] if given and id_of(given) else None
        self._span = Trace.start_span(self._parent) if Trace.start_span is not None else None
        if self._span is not None:
            self._parent = self._span.parent

    def __enter__(self) -> Trace:
        _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._span is not None:
            self._span.end()

    @property
    def parent(self) -> str:
        """What `traceparent` says to whoever goes on with the trace."""
        if self._parent is None:
            made = secrets.token_hex(24)
            self._parent = f"00-{made[:32]}-{made[32:]}-00"
        return self._parent

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        return self.parent[3:35]

    def note(self, **facts: str | None) -> None:
        """Adds to the span, if there is one, whatever of these is not None."""
        if self._span is not None:
            self._span.note({name: fact for name, fact in facts.items() if fact is not None})


_current: ContextVar[Trace] = ContextVar("trace")


def current() -> Trace | None:
    """That of the request which the present task works for; None if it works for none."""
    return _current.get(None)


def id_of(traceparent: str) -> str | None:
    """The trace id in a traceparent, None if it is none."""
    found = _FORM.fullmatch(traceparent)
    return found[1] if found and found[1].strip("0") and found[2].strip("0") else None
