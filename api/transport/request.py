"""A GraphQL request, out of JSON or a query string. Whatever is not one is a BAD_REQUEST."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from api.errors import bad_request

T = TypeVar("T")


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """What the client wants carried out. Absent and null are the same."""

    query: str
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


_body = msgspec.json.Decoder(Request)
_map = msgspec.json.Decoder(dict[str, Any] | None)


def from_body(body: bytes) -> Request:
    """The request in the JSON body of a POST."""
    return decode(_body, body, "The body")


def from_query_string(query_string: bytes) -> Request:
    """The request in the URL of a GET; `variables` and `extensions` are JSON there."""
    fields = parameters(query_string)
    if not fields.get("query"):
        raise bad_request("The parameter query is missing; it holds the GraphQL document.", 422)
    return Request(
        query=fields["query"],
        operation_name=fields.get("operationName") or None,
        variables=_optional(fields, "variables"),
        extensions=_optional(fields, "extensions"),
    )


def parameters(query_string: bytes) -> dict[str, str]:
    """The parameters of a URL. Raises BAD_REQUEST if they are not UTF-8."""
    try:
        text = query_string.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=20))
    except ValueError as error:
        raise bad_request("The query string is not URL-encoded UTF-8.") from error


def decode(decoder: msgspec.json.Decoder[T], data: bytes | str, what: str) -> T:
    """The decoded JSON. Raises BAD_REQUEST for everything else."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise bad_request(f"{what} is not a GraphQL request: {error}.", 422) from error
    except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, or nested too deeply
        raise bad_request(f"{what} is not JSON in UTF-8 that can be read.") from error


def _optional(fields: dict[str, str], name: str) -> dict[str, Any] | None:
    text = fields.get(name)
    return decode(_map, text, f"The parameter {name}") if text else None
