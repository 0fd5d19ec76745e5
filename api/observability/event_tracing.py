"""Traces the events of a command: one log line and, with OpenTelemetry, one span for each step.

An event's metadata names the command that caused it and its trace. Relay and projector call the tracer for
each event that they have finished; if nothing is traced, they get no tracer.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from api.observability import otel
from api.settings import Settings
from api.trace import trace_id_of
from domain.envelope import Envelope

EventTracer = Callable[["Envelope"], None]

_log = structlog.get_logger(__name__)


def event_tracer(step: str, settings: Settings) -> EventTracer | None:
    """Returns the function to call for each event that has completed this step, such as `appended`."""
    write_line = _line_writer(step) if settings.log_level == "debug" else None
    record_span = otel.span_recorder(step)
    if write_line is None or record_span is None:
        return write_line or record_span

    def trace(envelope: Envelope) -> None:
        write_line(envelope)
        record_span(envelope)

    return trace


def _line_writer(step: str) -> EventTracer:
    def write_line(envelope: Envelope) -> None:
        _log.debug(
            f"event.{step}",
            type=envelope.type,
            aggregate=envelope.aggregate,
            aggregate_id=str(envelope.aggregate_id),
            version=envelope.version,
            command_id=envelope.metadata.get("commandId"),
            trace=trace_id_of(envelope.metadata.get("traceparent", "")),
        )

    return write_line
