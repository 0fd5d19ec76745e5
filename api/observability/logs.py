"""Logs: events with fields, pretty on a terminal and one JSON object per line elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final

import structlog

from api.safe_traceback import kind, stack
from api.server_urls import first_line
from api.trace import current

if TYPE_CHECKING:
    from structlog.typing import EventDict

    from api.settings import Settings

_MAX_VALUE_LENGTH: Final = 8_192
"""Characters of one field of a line: the last resort, should a field hold what a client has sent."""


def configure(settings: Settings) -> None:
    """Everything goes to standard error, from LOG_LEVEL up; libraries from WARNING up."""
    pretty = settings.log_format == "pretty" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    shared: list[structlog.typing.Processor] = [
        with_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_values,
        _bounded,
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()] if pretty else [structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    foreign: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _without_values,
        _bounded,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[*foreign, *last],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def with_trace(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Whose line it is: the trace of the request, and the command that it carries out."""
    if (trace := current()) is not None:
        event.setdefault("trace", trace.id)
        if trace.command_id is not None:
            event.setdefault("command_id", str(trace.command_id))
    return event


def _without_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """An error by its kind and its frames. Messages and local variables quote tokens and addresses.

    What libraries log keeps its first line: asyncio puts the error's message into the others.
    """
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event = {**event, "error": kind(error), "stack": stack(error)}
    event["event"] = first_line(str(event["event"]))
    return event


def _bounded(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Cuts off what is too long in a line."""
    return {key: _cut(value) for key, value in event.items()}


def _cut(value: Any) -> Any:
    long = isinstance(value, str) and len(value) > _MAX_VALUE_LENGTH
    return f"{value[:_MAX_VALUE_LENGTH]}…" if long else value
