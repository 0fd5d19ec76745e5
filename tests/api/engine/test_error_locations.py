"""Error locations are those of graphql-core, and a text is scanned for line breaks once, not per error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from graphql import Source
from hypothesis import given
from hypothesis import strategies as st

from api.engine.documents.parsing import DocumentSource
from tests.api.in_memory_app import Edge, edge
from tests.api.users import put_users
from tests.api.with_limits import with_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILING = "{ users(first: 100) { nodes { %s } } }"
ALIASES = [f"a{number}: orders(first: 0) {{ totalCount }}" for number in range(14)]
REPEATED = ["orders(first: 0) { totalCount }"] * 40
PADDING = {
    "line feeds": "\n",
    "carriage returns": "\r",
    "both": "\r\n",
    "blanks": " ",
    "tabs": "\t",
    "commas": ",",
    "byte order marks": "\ufeff",
}


@dataclass
class Scans:
    """Replaces the pattern of line breaks, and counts the characters that it searched."""

    pattern: re.Pattern[str]
    characters: int = 0

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        self.characters += len(text)
        return self.pattern.finditer(text)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Scans:
    counted = Scans(re.compile(r"\r\n|[\n\r]"))
    for name in (
        "graphql.language.location._re_newline",
        "graphql.language.source._re_newline",
        "api.engine.documents.parsing._LINE_BREAK",
    ):
        monkeypatch.setattr(name, counted)
    return counted


async def failed(made: Edge, query: str) -> Any:
    answer = await made.ask(query)
    return [place for error in answer["errors"] for place in error.get("locations", ())]


@pytest.mark.parametrize("padding", PADDING.values(), ids=PADDING)
@pytest.mark.parametrize("fields", [ALIASES, REPEATED], ids=["aliases", "repeated"])
async def test_a_text_is_scanned_once_however_many_fields_fail(
    scans: Scans, padding: str, fields: list[str]
) -> None:
    query = padding * (50_000 // len(padding)) + FAILING % " ".join(fields)
    async with edge(with_limits(response_fields=100_000)) as made:
        put_users(made.reads, 100)
        for _ in range(2):  # by graphql-core, and by a plan and graphql-core
            assert await failed(made, query)
    assert 0 < scans.characters <= 2 * len(query)


@pytest.mark.parametrize(
    "query",
    ["{ user(id: 1) { %s } }", "{ users { nodes { %s } } }"],
)
async def test_the_locations_of_an_invalid_document_are_found_in_one_scan(
    scans: Scans, query: str
) -> None:
    text = "\n" * 50_000 + query % " ".join(f"x{number}" for number in range(400))
    async with edge() as made:
        places = await failed(made, text)
    assert len(places) == 20
    assert {place["line"] for place in places} == {50_001}
    assert scans.characters == len(text)


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n"])
async def test_every_location_of_an_error_is_reported(line_break: str) -> None:
    lines = ["{", "  a: __typename", "", "  a: users {", "    totalCount", "  }", "}"]
    async with edge() as made:
        error = await made.error(line_break.join(lines))
    assert error["locations"] == [{"line": 2, "column": 3}, {"line": 4, "column": 3}]


async def test_the_location_of_a_syntax_error_is_reported() -> None:
    async with edge() as made:
        error = await made.error("{\n\r\n  users(\r  }")
    assert error["locations"] == [{"line": 4, "column": 3}]


@given(text=st.text(st.sampled_from("a\n\r \u2028\x0b"), max_size=40))
def test_a_place_is_where_graphql_core_finds_it(text: str) -> None:
    ours, theirs = DocumentSource(text), Source(text)
    for position in range(len(text) + 1):
        if text[max(0, position - 1) : position + 1] != "\r\n":  # no token begins between these
            assert ours.get_location(position) == theirs.get_location(position)
