"""Configures logging: events with fields, pretty on a terminal, one JSON object per line elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor

from api.safe_traceback import class_name, safe_stack
from api.server_urls import first_line
from api.settings import Settings
from api.trace import current_trace

_MAX_VALUE_LENGTH: Final = 8_192
"""Characters of one field: the last resort if a field holds text of a client."""


def configure(settings: Settings) -> None:
    """Sends every event from LOG_LEVEL up to standard error; those of libraries from WARNING up."""
    pretty = settings.log_format == "pretty" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    )
    shared: list[Processor] = [
        with_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_values,
        _bounded,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_values,
                _bounded,
                renderer,
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def with_trace(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Adds the trace of the current request, and the id of the command that it executes."""
    if (trace := current_trace()) is not None:
        event.setdefault("trace", trace.id)
        if trace.command_id is not None:
            event.setdefault("command_id", str(trace.command_id))
    return event


def _without_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replaces an error by its type and stack. Messages and local variables quote tokens and addresses.

    Events of libraries keep their first line: asyncio puts the error's message into the others.
    """
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event = {**event, "error": class_name(error), "stack": safe_stack(error)}
    event["event"] = first_line(str(event["event"]))
    return event


def _bounded(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return {key: _truncated(value) for key, value in event.items()}


def _truncated(value: Any) -> Any:
    too_long = isinstance(value, str) and len(value) > _MAX_VALUE_LENGTH
    return f"{value[:_MAX_VALUE_LENGTH]}…" if too_long else value
