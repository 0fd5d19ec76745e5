"""The errors a client may see, each with a code. What nobody foresaw is masked, and logged once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import structlog
from graphql import GraphQLError

from api.safe_traceback import kind, stack
from readside.errors import ReadModelError

Formatted = dict[str, Any]
"""An error, or a whole response, on its way out."""

_INVALID = "GRAPHQL_VALIDATION_FAILED"
_MAX_MESSAGE_LENGTH = 300
"""Characters of a message."""

log = structlog.get_logger("tandem.api")


class RequestError(Exception):
    """The request gets no `data`: it is malformed, invalid, or not allowed here.

    `status` is the HTTP status that the draft of August 2026 wants. `well_formed` says that it was
    a GraphQL request all the same, which application/json answers with 200. `header` is one more
    header of the HTTP response.
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


def bad_request(
    message: str, status: int = 400, header: tuple[bytes, bytes] | None = None
) -> RequestError:
    """The request is not a GraphQL request, or not one that this transport takes."""
    error = {"message": message, "extensions": {"code": "BAD_REQUEST"}}
    return RequestError([error], status=status, well_formed=False, header=header)


def refused(code: str, errors: list[GraphQLError]) -> RequestError:
    """A GraphQL request that is not carried out: every error gets the code, unless it has one."""
    return RequestError(
        [_format(error, {"code": code, **(error.extensions or {})}) for error in errors],
        status=400 if code == "GRAPHQL_PARSE_FAILED" else 422,
    )


def internal(surprise: Exception) -> RequestError:
    """Returns the refusal of a request on which an unexpected exception was raised; logs the exception."""
    return RequestError([mask(surprise)], status=500, well_formed=False)


def unprocessable(surprise: Exception) -> RequestError:
    """Returns the refusal of a document that could not be parsed, validated, planned or priced; logs why.

    It is a fault of ours or of graphql-core, but one that any client can cause, so it is no INTERNAL.
    """
    if isinstance(surprise, RecursionError):
        return refused(_INVALID, [GraphQLError("The document is nested too deeply.")])
    error_id = str(uuid4())
    log.error("document.failed", error_id=error_id, error=kind(surprise), stack=stack(surprise))
    message = "The service cannot process this document; simplify it, or report it with errorId."
    return refused(_INVALID, [GraphQLError(message, extensions={"errorId": error_id})])


def failure(code: str, message: str) -> GraphQLError:
    """To be raised by a resolver: an expected error with its code."""
    return GraphQLError(message, extensions={"code": code})


def bad_input(argument: str, message: str) -> GraphQLError:
    """To be raised by the resolver of a query: an argument is unusable."""
    return GraphQLError(
        f"{argument}: {message}", extensions={"code": "BAD_USER_INPUT", "argument": argument}
    )


def describe(error: GraphQLError) -> Formatted:
    """An error of the execution as the client may see it."""
    if error.extensions and "code" in error.extensions:
        return _format(error, error.extensions)
    match error.original_error:
        case ReadModelError(code=code):
            return _format(error, {"code": code})
        case None | GraphQLError():  # graphql-core found fault with a value of the request
            return _format(error, {"code": "BAD_USER_INPUT"})
        case surprise:
            return {**_format(error, {}), **mask(surprise)}


def describe_all(errors: Sequence[GraphQLError], most: int) -> list[Formatted]:
    """Returns the errors of an execution as the client may see them; `most`, and how many are left out.

    Unexpected errors are kept first, so that none escapes the log and the metrics among many others.
    """
    if len(errors) <= most:
        return [describe(error) for error in errors]
    kept = sorted(errors, key=_is_foreseen)[:most]
    return [*map(describe, kept), _left_out(len(errors) - most, most)]


def _is_foreseen(error: GraphQLError) -> bool:
    known = isinstance(error.original_error, (ReadModelError, GraphQLError, type(None)))
    return known or "code" in (error.extensions or {})


def _left_out(number: int, most: int) -> Formatted:
    return {
        "message": f"{number} more errors are left out; a response has at most {most}.",
        "extensions": {"code": "ERRORS_LEFT_OUT"},
    }


def mask(surprise: BaseException) -> Formatted:
    """What a client may know of an error nobody foresaw: an id, under which the log has the rest.

    Messages stay out of the log too: those of drivers quote values, and values are personal.
    """
    error_id = str(uuid4())
    log.error("request.failed", error_id=error_id, error=kind(surprise), stack=stack(surprise))
    return {
        "message": "Something went wrong on our side; the log has the details under errorId.",
        "extensions": {"code": "INTERNAL", "errorId": error_id},
    }


def _format(error: GraphQLError, extensions: Formatted) -> Formatted:
    formatted: Formatted = {"message": _brief(error.message)}
    if error.source is not None and error.positions:
        # Not error.locations, which are wrong for a document that api.engine.documents.parsing has parsed.
        places = map(error.source.get_location, error.positions)
        formatted["locations"] = [place.formatted for place in places]
    if error.path is not None:
        formatted["path"] = error.path
    return {**formatted, "extensions": extensions}


def _brief(message: str) -> str:
    """Some messages of graphql-core quote a value of the request, however long it is."""
    return message if len(message) <= _MAX_MESSAGE_LENGTH else f"{message[:_MAX_MESSAGE_LENGTH]}…"
