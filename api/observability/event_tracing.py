"""Following a command beyond its answer: one line of the log, and with OpenTelemetry one span, for each step.

An event's metadata says which command caused it and in which trace; relay and projector tell us of each event
they are done with. If nobody wants to know, they are given nobody to tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from api.observability import otel
from api.trace import id_of

if TYPE_CHECKING:
    from api.settings import Settings
    from domain.envelope import Envelope

Told = Callable[["Envelope"], None]

_log = structlog.get_logger("tandem.follow")


def follower(step: str, settings: Settings) -> Told | None:
    """Whom to tell of the events for which this step, such as `appended`, is done."""
    line = _line(step) if settings.log_level == "debug" else None
    span = otel.of_step(step)
    if line is None or span is None:
        return line or span

    def tell(envelope: Envelope) -> None:
        line(envelope)
        span(envelope)

    return tell


def _line(step: str) -> Told:
    def tell(envelope: Envelope) -> None:
        _log.debug(
            f"event.{step}",
            type=envelope.type,
            user_id=str(envelope.user_id),
            version=envelope.version,
            command_id=envelope.metadata.get("commandId"),
            trace=id_of(envelope.metadata.get("traceparent", "")),
        )

    return tell
