"""OpenTelemetry, where tandem[otel] is installed and OTEL_EXPORTER_OTLP_ENDPOINT says where spans shall go.

One trace goes from the request to the moment the read model shows what it changed: the request's span, and
below it, for each event, one from its instant to the stream and one from its instant to the read model. What
the latter two hang below travels in the event's metadata. No field has a span.
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

_EXPORTING: Final = 3
"""Seconds that an export may take, also the last one of a process that ends."""

_SECOND: Final = 1_000_000_000
"""OpenTelemetry counts nanoseconds."""

_tracer: Any = None


class NotInstalled(OperatorError):
    """Spans are wanted, and what makes them is not there; str() says what to do."""


def configure(settings: Settings) -> None:
    """Sends spans to where the settings say, if they do. Raises NotInstalled."""
    if settings.otel_exporter_otlp_endpoint is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise NotInstalled(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed:"
            " install tandem[otel], or unset it."
        ) from error
    endpoint = f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORTING)
    begin(BatchSpanProcessor(exporter))


def begin(processor: SpanProcessor) -> None:
    """Starts a span for every request from now on. The SDK reads OTEL_SERVICE_NAME, by default `tandem`."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider

    global _tracer
    service = Resource.create({"service.name": "tandem"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=service)
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("tandem")
    Trace.start_span = _Request


def end() -> None:
    """From now on nothing has a span."""
    global _tracer
    _tracer = Trace.start_span = None


class _Request:
    """The span of one request, below that of the client, if it told its own."""

    def __init__(self, given: str | None) -> None:
        from opentelemetry.trace import SpanKind

        self._span = _tracer.start_span("GraphQL", _below(given), SpanKind.SERVER)

    @property
    def parent(self) -> str:
        made = self._span.get_span_context()
        return f"00-{made.trace_id:032x}-{made.span_id:016x}-{made.trace_flags:02x}"

    def note(self, facts: Mapping[str, str]) -> None:
        self._span.set_attributes({f"tandem.{name}": fact for name, fact in facts.items()})

    def end(self) -> None:
        self._span.end()


def of_step(step: str) -> Callable[[Envelope], None] | None:
    """What makes the span of a step such as `appended`, which lasted from the event's instant until now."""
    if _tracer is None:
        return None

    def tell(envelope: Envelope) -> None:
        from opentelemetry.trace import SpanKind

        now = time.time_ns()
        began = min(int(envelope.occurred_at.timestamp() * _SECOND), now)  # clocks may differ
        facts = {
            "tandem.command_id": envelope.metadata.get("commandId", ""),
            "tandem.user_id": str(envelope.user_id),
            "tandem.version": envelope.version,
        }
        parent = _below(envelope.metadata.get("traceparent"))
        name = f"{envelope.type} {step}"
        _tracer.start_span(name, parent, SpanKind.CONSUMER, facts, start_time=began).end(now)

    return tell


def _below(parent: str | None) -> Any:
    """OpenTelemetry's context of a traceparent; without one an empty context, so a trace begins."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {} if parent is None else {"traceparent": parent}
    return TraceContextTextMapPropagator().extract(carrier, Context())
