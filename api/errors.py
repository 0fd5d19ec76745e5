"""The errors that clients see, each with a code. Unexpected errors are masked and logged once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import structlog
from graphql import GraphQLError

from api.safe_traceback import class_name, safe_stack
from readside.errors import ReadModelError

Formatted = dict[str, Any]
"""An error or a response, as it is encoded in JSON."""

_INVALID = "GRAPHQL_VALIDATION_FAILED"
_MAX_MESSAGE_LENGTH = 300
"""Characters of a message that clients see."""

log = structlog.get_logger("tandem.api")


class RequestError(Exception):
    """A request that gets no `data`: it is malformed, invalid or not allowed.

    `status` is the HTTP status of the draft of August 2026. `well_formed` is True for a GraphQL request,
    whose response has the status 200 in application/json. `header` is added to the HTTP response.
    """

    def __init__(
        self,
        errors: list[Formatted],
        *,
        status: int = 400,
        well_formed: bool = True,
        header: tuple[bytes, bytes] | None = None,
    ) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors
        self.status = status
        self.well_formed = well_formed
        self.header = header

    @property
    def response(self) -> Formatted:
        return {"errors": self.errors}


def formatted(code: str, message: str, **details: object) -> Formatted:
    """Returns an error as clients see it; `details` are further extensions."""
    return {"message": message, "extensions": {"code": code, **details}}


def bad_request(
    message: str, status: int = 400, header: tuple[bytes, bytes] | None = None
) -> RequestError:
    """Returns the refusal of a request that is not GraphQL, or not supported by this transport."""
    errors = [formatted("BAD_REQUEST", message)]
    return RequestError(errors, status=status, well_formed=False, header=header)


def refused(code: str, errors: list[GraphQLError]) -> RequestError:
    """Returns the refusal of a GraphQL request: every error gets the code, unless it has one."""
    return RequestError(
        [_format(error, {"code": code, **(error.extensions or {})}) for error in errors],
        status=400 if code == "GRAPHQL_PARSE_FAILED" else 422,
    )


def internal(error: Exception) -> RequestError:
    """Returns the refusal of a request on which an unexpected exception was raised; logs the exception."""
    return RequestError([mask(error)], status=500, well_formed=False)


def unprocessable(error: Exception) -> RequestError:
    """Returns the refusal of a document whose processing raised an unexpected error; logs the error.

    It is a fault of Tandem or graphql-core that any client can cause, so it does not count as INTERNAL.
    """
    if isinstance(error, RecursionError):
        return refused(_INVALID, [GraphQLError("The document is nested too deeply.")])
    error_id = _log("document.failed", error)
    message = "The service cannot process this document; simplify it, or report it with errorId."
    return refused(_INVALID, [GraphQLError(message, extensions={"errorId": error_id})])


def failure(code: str, message: str) -> GraphQLError:
    """Returns an expected error with its code, for a resolver to raise."""
    return GraphQLError(message, extensions={"code": code})


def bad_input(argument: str, message: str) -> GraphQLError:
    """Returns the error of an invalid argument, for a resolver to raise."""
    return GraphQLError(
        f"{argument}: {message}", extensions={"code": "BAD_USER_INPUT", "argument": argument}
    )


def describe(error: GraphQLError) -> Formatted:
    """Returns an error of the execution as the client sees it."""
    if error.extensions and "code" in error.extensions:
        return _format(error, error.extensions)
    match error.original_error:
        case ReadModelError(code=code):
            return _format(error, {"code": code})
        case None | GraphQLError():  # graphql-core refused a value of the request
            return _format(error, {"code": "BAD_USER_INPUT"})
        case unexpected:
            return {**_format(error, {}), **mask(unexpected)}


def describe_all(errors: Sequence[GraphQLError], max_errors: int) -> list[Formatted]:
    """Returns the first `max_errors` errors as the client sees them, and one that counts the rest.

    Unexpected errors come first, so that each is logged and counted.
    """
    if len(errors) <= max_errors:
        return [describe(error) for error in errors]
    selected = sorted(errors, key=_is_expected)[:max_errors]
    number = len(errors) - max_errors
    message = f"{number} more errors are left out; a response has at most {max_errors}."
    return [*map(describe, selected), formatted("ERRORS_LEFT_OUT", message)]


def _is_expected(error: GraphQLError) -> bool:
    is_typed = isinstance(error.original_error, (ReadModelError, GraphQLError, type(None)))
    return is_typed or "code" in (error.extensions or {})


def mask(error: BaseException) -> Formatted:
    """Logs an unexpected error, and returns the id of the log line for the client."""
    message = "Internal error; the log of the service has the details under errorId."
    return formatted("INTERNAL", message, errorId=_log("request.failed", error))


def _log(event: str, error: BaseException) -> str:
    """Logs an error without its message, since drivers quote personal data there; returns the line's id."""
    error_id = str(uuid4())
    log.error(event, error_id=error_id, error=class_name(error), stack=safe_stack(error))
    return error_id


def _format(error: GraphQLError, extensions: Formatted) -> Formatted:
    formatted: Formatted = {"message": _shortened(error.message)}
    if error.source is not None and error.positions:
        # Not error.locations, which are wrong for a document that api.engine.documents.parsing has parsed.
        locations = map(error.source.get_location, error.positions)
        formatted["locations"] = [location.formatted for location in locations]
    if error.path is not None:
        formatted["path"] = error.path
    return {**formatted, "extensions": extensions}


def _shortened(message: str) -> str:
    """Returns a message of limited length: graphql-core quotes values of the request in full."""
    return message if len(message) <= _MAX_MESSAGE_LENGTH else f"{message[:_MAX_MESSAGE_LENGTH]}…"
