"""What makes two versions of the code differ: what the projections do, not how they are written down."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from readside.generations import fingerprint

CODE = """
def project(keys, happened):
    return [("HSET", keys.of("a"), "b", str(happened.version))]
"""
WITH_COMMENTS = """
# What it does:

def project(keys, happened):
    # A comment.

    return [("HSET", keys.of("a"), "b", str(happened.version))]
"""


@pytest.fixture
def model(tmp_path: Path) -> ModuleType:
    module = ModuleType("model")
    module.__file__ = str(tmp_path / "model.py")
    write(module, CODE)
    return module


def write(module: ModuleType, code: str) -> None:
    Path(str(module.__file__)).write_text(code)


def test_comments_and_blank_lines_do_not_change_it(model: ModuleType) -> None:
    before = fingerprint([model])
    write(model, WITH_COMMENTS)
    assert fingerprint([model]) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [('"b"', '"c"'), ("HSET", "HSETNX"), ("version)", "version + 1)"), ("def project", "def p")],
)
def test_code_changes_it(model: ModuleType, old: str, new: str) -> None:
    before = fingerprint([model])
    write(model, CODE.replace(old, new))
    assert fingerprint([model]) != before


def test_another_model_changes_it_wherever_the_files_are(model: ModuleType, tmp_path: Path) -> None:
    alone = fingerprint([model])
    second = ModuleType("second")
    second.__file__ = str(tmp_path / "second.py")
    write(second, "def project(keys, happened):\n    return []\n")
    assert fingerprint([model, second]) != alone
    assert fingerprint([model, second]) == fingerprint([second, model])


def test_it_is_short_and_can_stand_in_a_key(model: ModuleType) -> None:
    assert len(fingerprint([model])) == 12
    assert int(fingerprint([model]), 16) >= 0
