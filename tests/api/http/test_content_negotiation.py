"""The media type of a response."""

from __future__ import annotations

import pytest

from api.http.compression import negotiate_coding
from api.http.content_negotiation import HTML, JSON, RESPONSE, STREAM, is_json, negotiate

OFFERED = (JSON, RESPONSE, STREAM)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("application/json", JSON),
        ("application/graphql-response+json", RESPONSE),
        (
            "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8",
            RESPONSE,
        ),
        ("application/json, application/graphql-response+json", JSON),
        ("application/json;q=0.5, application/graphql-response+json;q=0.9", RESPONSE),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/event-stream", STREAM),
        ("text/html, */*;q=0.8", JSON),
        ("APPLICATION/JSON", JSON),
        ("application/json;q=0", None),
        ("application/json;q=0, */*", None),
        ("application/json;q=x", None),
        ("application/json;charset=latin1", None),
        ("text/html", None),
        ("text/*", None),
        (",;,", None),
        ("", None),
    ],
)
def test_the_response_has_the_media_type_that_the_client_prefers(
    accept: str, media: str | None
) -> None:
    assert negotiate(accept.encode(), OFFERED) == media


def test_the_first_fifty_elements_are_read() -> None:
    assert negotiate(b"a," * 49 + b"application/json", OFFERED) == JSON
    assert negotiate(b"a," * 50 + b"application/json", OFFERED) is None
    assert negotiate_coding(b"a," * 49 + b"gzip") == (b"gzip", False)
    assert negotiate_coding(b"a," * 50 + b"gzip") == (None, False)


def test_a_browser_prefers_a_page_where_there_is_one() -> None:
    accept = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert negotiate(accept, (*OFFERED, HTML)) == HTML


@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        (b"application/json", True),
        (b"application/json; charset=utf-8", True),
        (b'Application/JSON ; Charset="UTF-8"', True),
        (b"application/json; charset=latin-1", False),
        (b"application/jsonp", False),
        (b"text/plain", False),
        (b"multipart/form-data", False),
        (b"", False),
    ],
)
def test_only_json_in_utf_8_is_taken(content_type: bytes, taken: bool) -> None:
    assert is_json(content_type) is taken
