"""The code blocks of a page: those with the path of a file are the whole file, or a change of it.

A block begins with three backticks, a language and the path. The language `diff` marks a change: lines that
begin with a minus are replaced, with their context, which must occur once.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from tests.processes import ROOT
from tests.stores import fast_temp

_BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_IGNORED = shutil.ignore_patterns("node_modules")


class Block(msgspec.Struct, frozen=True):
    """A code block with the path of a file."""

    language: str
    path: str
    text: str

    def apply(self, root: Path) -> None:
        file = root / self.path
        if self.language != "diff":
            file.parent.mkdir(parents=True, exist_ok=True)
            assert not file.exists(), f"{self.path} exists: change it with a diff"
            file.write_text(self.text)
            return
        before, text = self._lines("-"), file.read_text()
        assert text.count(before) == 1, f"{self.path} does not contain once:\n{before}"
        file.write_text(text.replace(before, self._lines("+")))

    def _lines(self, sign: str) -> str:
        lines = self.text.splitlines(keepends=True)
        return "".join(line[1:] for line in lines if line[0] in {" ", sign, "\n"})


def blocks(page: Path, *, section: str | None = None) -> list[Block]:
    """Returns the blocks with a path, in order; of the section with this heading of the second level only."""
    text = page.read_text()
    if section is not None:
        parts = _HEADING.split(text)
        text = dict(zip(parts[1::2], parts[2::2], strict=True))[section]
    return [Block(*found) for found in _BLOCK.findall(text)]


@contextmanager
def copy_of_the_tree(*more: str, changes: Iterable[Block] = ()) -> Iterator[Path]:
    """A copy of the packages and of `more`, with these changes; PYTHONPATH makes a process run it."""
    with TemporaryDirectory(prefix="tandem-copy-", dir=fast_temp()) as place:
        root = Path(place)
        for name in ("api", "domain", "readside", "pyproject.toml", "schema.graphql", *more):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=_IGNORED)
            else:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        for block in changes:
            block.apply(root)
        yield root
