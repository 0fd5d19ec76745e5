"""OpenTelemetry spans, if tandem[otel] is installed and OTEL_EXPORTER_OTLP_ENDPOINT is set.

One trace reaches from the request to the moment at which the read model shows its change: the span of the
request and, below it, two spans for each event, from its creation to the stream and from its creation to the
read model. The event's metadata carries the parent of these two. Fields have no spans.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from api.operator_error import OperatorError
from api.trace import Trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from api.settings import Settings
    from domain.envelope import Envelope

_EXPORT_TIMEOUT_SECONDS: Final = 3
"""Time limit of an export, including the last one of a process that ends."""

_NANOSECONDS_PER_SECOND: Final = 1_000_000_000

_tracer: Any = None


def configure(settings: Settings) -> None:
    """Exports spans to the endpoint of the settings, if there is one. Raises OperatorError."""
    if settings.otel_exporter_otlp_endpoint is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise OperatorError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed:"
            " install tandem[otel], or unset it."
        ) from error
    endpoint = f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_TIMEOUT_SECONDS)
    start(BatchSpanProcessor(exporter))


def start(processor: SpanProcessor) -> None:
    """Starts a span for every request from now on. The SDK reads OTEL_SERVICE_NAME, by default `tandem`."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider

    global _tracer
    service = Resource.create({"service.name": "tandem"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=service)
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("tandem")
    Trace.start_span = _RequestSpan


def stop() -> None:
    global _tracer
    _tracer = Trace.start_span = None


class _RequestSpan:
    """The span of one request, a child of the client's span if the request has a traceparent."""

    def __init__(self, traceparent: str | None) -> None:
        from opentelemetry.trace import SpanKind

        self._span = _tracer.start_span("GraphQL", _context(traceparent), SpanKind.SERVER)

    @property
    def traceparent(self) -> str:
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def set_attributes(self, attributes: Mapping[str, str]) -> None:
        self._span.set_attributes({f"tandem.{name}": value for name, value in attributes.items()})

    def end(self) -> None:
        self._span.end()


def span_recorder(step: str) -> Callable[[Envelope], None] | None:
    """Returns a function that records a step such as `appended`, from the event's creation until now."""
    if _tracer is None:
        return None

    def record(envelope: Envelope) -> None:
        from opentelemetry.trace import SpanKind

        now = time.time_ns()
        created_at = int(envelope.occurred_at.timestamp() * _NANOSECONDS_PER_SECOND)
        attributes = {
            "tandem.command_id": envelope.metadata.get("commandId", ""),
            "tandem.aggregate": envelope.aggregate,
            "tandem.aggregate_id": str(envelope.aggregate_id),
            "tandem.version": envelope.version,
        }
        _tracer.start_span(
            f"{envelope.type} {step}",
            _context(envelope.metadata.get("traceparent")),
            SpanKind.CONSUMER,
            attributes,
            start_time=min(created_at, now),  # clocks may differ
        ).end(now)

    return record


def _context(traceparent: str | None) -> Any:
    """Returns OpenTelemetry's context of a traceparent; an empty one, which starts a trace, without it."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {} if traceparent is None else {"traceparent": traceparent}
    return TraceContextTextMapPropagator().extract(carrier, Context())
