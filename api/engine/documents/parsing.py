"""Parses documents with a limit on names, and locates errors without a scan of the text for each.

graphql-core computes the locations of an error when it creates the error, even of one that is never sent,
and scans the text for line breaks each time: errors times characters, which blocked the event loop for 36 s.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSyntaxError,
    Source,
    SourceLocation,
    Token,
    TokenKind,
    parse,
)

_LINE_BREAK: Final = re.compile(r"\r\n|[\n\r]")
_NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


class DocumentSource(Source):
    """A text whose line starts are indexed once, at the first error, in time linear in its length."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def get_location(self, position: int) -> SourceLocation:
        """Returns the line and the column of a character, both counted from 1."""
        line = bisect_right(self._line_starts, position)
        return SourceLocation(line, position + 1 - self._line_starts[line - 1])

    @cached_property
    def _line_starts(self) -> array[int]:
        return array("L", [0, *(match.end() for match in _LINE_BREAK.finditer(self._text))])


def parse_document(text: str, *, max_name_length: int, **limits: Any) -> DocumentNode:
    """Parses a document; `limits` are options of graphql-core's parser. Raises GraphQLError.

    For an error with several nodes graphql-core does not call get_location() but scans `body` itself, so
    this function empties it after parsing. api.errors formats locations from the positions of an error.
    """
    source = DocumentSource(text)
    try:
        document = parse(source, **limits)
    except GraphQLSyntaxError as error:  # its message quotes an unexpected name
        for position in error.positions or ():
            name = _NAME.match(text, position)
            if name and len(name[0]) > max_name_length:
                raise _name_too_long(source, position, max_name_length) from None
        raise
    for token in _break_token_cycles(document):
        if token.kind is TokenKind.NAME and token.end - token.start > max_name_length:
            raise _name_too_long(source, token.start, max_name_length)
    source.body = ""
    return document


def _break_token_cycles(document: DocumentNode) -> Iterator[Token]:
    """Yields the tokens and unlinks each: they form cycles, which only the garbage collector could free."""
    token = document.loc and document.loc.start_token
    while token:
        following = token.next
        token.prev = token.next = None
        yield token
        token = following


def _name_too_long(source: Source, position: int, limit: int) -> GraphQLError:
    message = f"A name has more than {limit} characters; shorten it."
    return GraphQLError(message, source=source, positions=[position])
