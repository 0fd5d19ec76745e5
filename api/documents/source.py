"""The text of a document, with the line and column of each position found without a scan for each error.

graphql-core computes the locations of an error when the error is created, also of one that is never sent,
and scans the text for line breaks each time. Errors times characters blocked the event loop for 36 s.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from functools import cached_property
from typing import Any, Final

from graphql import DocumentNode, Source, SourceLocation, parse

_LINE_BREAK: Final = re.compile(r"\r\n|[\n\r]")


class DocumentSource(Source):
    """A text whose lines are indexed once, at the first error, in time linear in its length."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def get_location(self, position: int) -> SourceLocation:
        """Returns the line and the column of a character, both counted from 1."""
        line = bisect_right(self._line_starts, position)
        return SourceLocation(line, position + 1 - self._line_starts[line - 1])

    @cached_property
    def _line_starts(self) -> array[int]:
        return array("L", [0, *(found.end() for found in _LINE_BREAK.finditer(self._text))])


def parse_document(text: str, **limits: Any) -> DocumentNode:
    """Parses a document; `limits` are options of graphql-core's parser. Raises GraphQLError.

    For an error with several nodes graphql-core does not call get_location() but scans `body` itself, so
    that is emptied after parsing. api.errors formats locations from the positions of an error.
    """
    source = DocumentSource(text)
    document = parse(source, **limits)
    source.body = ""
    return document
