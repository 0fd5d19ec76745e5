"""Decodes GraphQL requests from JSON or a query string; anything else is a BAD_REQUEST."""

from __future__ import annotations

from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from api.errors import bad_request

T = TypeVar("T")


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """A GraphQL request: a document, or the hash of a trusted one. Absent and null are the same.

    The hash is in `documentId`, in the `doc_id` or `id` of Relay's clients, or in the extension of Apollo's.
    """

    query: str | None = None
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None
    document_id: str | None = None
    doc_id: Any = msgspec.field(default=None, name="doc_id")
    """A hash if it is a text. Other values are ignored, as unknown fields are."""
    id: Any = None
    """The same."""

    def __post_init__(self) -> None:
        if self.query is None and self.document_hash() is None:
            raise ValueError("it has neither a query nor a documentId")

    def document_hash(self) -> str | None:
        """Returns the hash of the document that the request names."""
        for name in (self.document_id, self.doc_id, self.id):
            if isinstance(name, str):
                return plain_hash(name)
        return self.persisted_query_hash()

    def persisted_query_hash(self) -> str | None:
        """Returns the hash in the extension of Apollo's automatic persisted queries."""
        match self.extensions:
            case {"persistedQuery": {"sha256Hash": str(hashed)}}:
                return plain_hash(hashed)
        return None


def plain_hash(text: str) -> str:
    """Returns the hexadecimal digits of a SHA-256 in lower case, without the prefix `sha256:`."""
    return text.lower().removeprefix("sha256:")


_PARAMETERS: Final = frozenset(field.encode_name for field in msgspec.structs.fields(Request))
_MAX_PARAMETERS: Final = 1_000
"""Parameters of a URL, of any name: to split as many takes a millisecond."""

_BATCH = "A list is not accepted here (BATCH_LIMIT): send each operation in a request of its own."

_body = msgspec.json.Decoder(Request)
_map = msgspec.json.Decoder(dict[str, Any] | None)


def from_body(body: bytes) -> Request:
    """Returns the request in the JSON body of a POST."""
    return decode(_body, body, "The body")


def from_query_string(query_string: bytes) -> Request:
    """Returns the request in the URL of a GET, where `variables` and `extensions` are JSON."""
    fields = parameters(query_string)
    try:
        return Request(
            query=fields.get("query") or None,
            operation_name=fields.get("operationName") or None,
            variables=_optional(fields, "variables"),
            extensions=_optional(fields, "extensions"),
            document_id=fields.get("documentId") or None,
            doc_id=fields.get("doc_id") or None,
            id=fields.get("id") or None,
        )
    except ValueError as error:
        message = "The parameter query is missing; it holds the GraphQL document."
        raise bad_request(message, 422) from error


def parameters(query_string: bytes) -> dict[str, str]:
    """Returns the parameters of a URL that belong to a request; others, such as utm_source, are ignored.

    Raises BAD_REQUEST if one is not UTF-8, or is repeated, because another server could read the other value.
    """
    try:
        # Bytes of other parameters may be anything, so they become surrogates, which encode() refuses.
        pairs = parse_qsl(
            query_string.decode("ascii", "surrogateescape"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=_MAX_PARAMETERS,
        )
        found = [(name, value) for name, value in pairs if name in _PARAMETERS]
        "".join(value for _, value in found).encode()
    except ValueError as error:
        raise bad_request(
            f"The query string is not URL-encoded UTF-8 of at most {_MAX_PARAMETERS} parameters."
        ) from error
    if len(dict(found)) < len(found):
        raise bad_request("A parameter of the request is repeated in the query string.")
    return dict(found)


def decode(decoder: msgspec.json.Decoder[T], data: bytes | str, what: str) -> T:
    """Returns the decoded JSON. Raises BAD_REQUEST, with `what` as the subject of the message."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        if decoder is _body and data[:1] == b"[":
            raise bad_request(_BATCH, 422) from error
        raise bad_request(f"{what} is not a GraphQL request: {error}.", 422) from error
    except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, or nested too deeply
        raise bad_request(f"{what} is not JSON in UTF-8 that can be read.") from error


def _optional(fields: dict[str, str], name: str) -> dict[str, Any] | None:
    text = fields.get(name)
    return decode(_map, text, f"The parameter {name}") if text else None
