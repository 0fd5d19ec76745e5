"""The page of promises names tests that exist, and no promise stands there without one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.processes import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
PROMISES = 10

NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
FILE = re.compile(r"`((?:api|domain|readside|tests)/[\w/]*(?:\.\w+)?)`")
ROW = re.compile(r"^### (\d+)\.(\d+) (.+?)$(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
FAULT = re.compile(r"^\| (?!Fault|---)(.+?) \| (.+?) \|$", re.MULTILINE)

ROWS = [match.groups() for match in ROW.finditer(PAGE)]


def _tests_in(path: Path) -> set[str]:
    """The test functions of a file, by its syntax alone."""
    return {
        node.name
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_test_that_is_named_exists() -> None:
    named = set(NODE.findall(PAGE))
    assert named
    assert [f"{file}::{name}" for file, name in sorted(named) if not _exists(file, name)] == []


def _exists(file: str, name: str) -> bool:
    path = ROOT / file
    return path.is_file() and name.startswith("test_") and name in _tests_in(path)


def test_every_file_that_is_named_exists() -> None:
    assert [name for name in FILE.findall(PAGE) if not (ROOT / name).exists()] == []


def test_the_rows_are_numbered_without_a_hole() -> None:
    numbers = [(int(promise), int(row)) for promise, row, *_ in ROWS]
    assert {promise for promise, _ in numbers} == set(range(1, PROMISES + 1))
    for promise in range(1, PROMISES + 1):
        rows = [row for of, row in numbers if of == promise]
        assert rows == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}.{row[1]}")
def test_every_row_says_what_is_not_promised_by_what_it_is_kept_and_what_proves_it(
    row: tuple[str, str, str, str],
) -> None:
    body = row[3]
    assert "- *Not promised:* " in body
    assert FILE.search(body.partition("- *By:* ")[2].partition("- *Proven by:*")[0]) or (
        "pyproject.toml" in body
    )
    assert NODE.search(body.partition("- *Proven by:* ")[2])


def test_every_fault_of_the_matrix_names_its_tests() -> None:
    faults = FAULT.findall(PAGE.partition("## The fault matrix")[2].partition("\n## ")[0])
    assert len(faults) > 30
    assert [fault for fault, tests in faults if not NODE.search(tests)] == []
