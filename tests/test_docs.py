"""The documentation: its words, its links, the files that it names and their sizes."""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

from tests.processes import ROOT

HOUSE_DIALECT = re.compile(
    r"\b(whoever|whomever|nobody|somebody|everybody|anybody|anew|for ever|under way|dear(?:est)?"
    r"|mend(?:s|ed|ing)?|is none|but for|all the same|comes to rest|set aside|is let in"
    r"|takes its leave|himself)\b"
)
"""Words that avoid their noun: docs/CONTRIBUTING.md has the rules that keep them out."""

README_LINES = 120
TOLERANCE = 0.1
"""Part by which a line count in the reading order may differ from the file's."""

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(
    r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\""
)
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
CODE = re.compile(r"^(?:```.*?^```| {4}[^\n]*)$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`((?:api|domain|readside|tests|docs|\.ci)/[\w./-]+)`")
LOG_EVENT = re.compile(r"`([a-z]+\.[a-z_]+)`")
SUFFIXES = (".md", ".json", ".yaml", ".lua", ".py", ".service", ".position", ".dump")
SYMBOL = re.compile(r"`([A-Za-z_][\w.]*)` (?:in|of)\s+`((?:api|domain|readside|tests)/[\w/.]+)`")
READING = re.compile(r"^\| \[`([\w./]+)`\]\(\S+\) \| (\d+) \|", re.MULTILINE)


def _tracked(*folders: str) -> list[Path]:
    listed = subprocess.check_output(["git", "ls-files", *folders], cwd=ROOT, text=True)
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


def _dialect(path: Path) -> list[str]:
    """Returns the words of the list in comments, docstrings and other strings, or in a whole page."""
    if path.suffix in {".md", ".lua", ".graphql"}:
        return HOUSE_DIALECT.findall(path.read_text())
    if path.suffix == ".sql":  # an applied migration never changes
        return [] if "migrations" in path.parts else HOUSE_DIALECT.findall(path.read_text())
    if path.suffix != ".py":
        return []
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    texts = (token.string for token in tokens if token.type in _TEXTS)
    return [word for text in texts for word in HOUSE_DIALECT.findall(text)]


_TEXTS = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def test_product_and_docs_are_free_of_house_dialect() -> None:
    files = _tracked("api", "domain", "readside", "docs", "README.md", "schema.graphql")
    words = {str(path.relative_to(ROOT)): _dialect(path) for path in files}
    assert {name: used for name, used in words.items() if used} == {}


def _anchors(page: Path) -> set[str]:
    """Returns the ids that GitHub gives the headings of a page."""
    headings = HEADING.findall(CODE.sub("", page.read_text()))
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.strip().replace(" ", "-") for text in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    broken = []
    for groups in LINK.findall(page.read_text()):
        link = next(filter(None, groups))
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    assert [name for name in FILE.findall(page.read_text()) if not (ROOT / name).exists()] == []


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text()
    linked = {(ROOT / "docs" / link).resolve() for link, *_ in LINK.findall(index)}
    assert {page for page in PAGES if page.parent != ROOT} - linked <= {ROOT / "docs/README.md"}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_the_reading_order_has_the_sizes_of_the_files() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    rows = [(name, int(lines)) for name, lines in READING.findall(page)]
    assert len(rows) > 10
    sizes = {name: len((ROOT / name).read_text().splitlines()) for name, _ in rows}
    assert [
        (name, lines, sizes[name])
        for name, lines in rows
        if abs(lines - sizes[name]) > TOLERANCE * sizes[name]
    ] == []


def test_the_glossary_is_in_order_and_has_one_entry_for_each_term() -> None:
    page = (ROOT / "docs/glossary.md").read_text()
    terms = [term.lower() for term in re.findall(r"^\| \*\*(.+?)\*\* \|", page, re.MULTILINE)]
    assert len(terms) > 30
    assert terms == sorted(set(terms))


def test_every_decision_has_a_context_a_decision_and_consequences() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert numbers == list(range(1, len(pages) + 1))
    for page in pages:
        headings = HEADING.findall(page.read_text())
        assert headings[1:] == ["Context", "Decision", "Consequences"], page.name


def test_every_log_event_that_the_docs_name_is_logged() -> None:
    pages = "".join(
        (ROOT / "docs" / name).read_text() for name in ("operations.md", "guarantees.md")
    )
    named = {name for name in LOG_EVENT.findall(pages) if not name.endswith(SUFFIXES)}
    code = "".join(path.read_text() for path in _tracked("api", "domain", "readside", "*.py"))
    assert len(named) > 10
    assert {name for name in named if f'"{name}"' not in code} == set()


def test_every_symbol_that_the_guarantees_name_is_in_its_file() -> None:
    named = SYMBOL.findall((ROOT / "docs/guarantees.md").read_text())
    assert len(named) > 20
    missing = [
        (symbol, path)
        for symbol, path in named
        if not all(
            re.search(rf"\b{part}\b", (ROOT / path).read_text()) for part in symbol.split(".")
        )
    ]
    assert missing == []
