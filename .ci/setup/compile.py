"""Compiles what is installed and what is here, so that processes which start together need not do it each.

    compile.py          run by the Python of .venv, at the root of the project

Tests are compiled as pytest does, which rewrites their assertions, where it is installed. What cannot be
compiled is left out: an import reports it.
"""

from __future__ import annotations

import compileall
import re
import sysconfig
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

OURS = ("api", "domain", "readside")
REWRITTEN = re.compile(r"/tests/(.*/)?(test_\w+|conftest)\.py$")


def main() -> None:
    with suppress(ImportError):
        compile_tests()
    for folder in (*OURS, sysconfig.get_path("purelib")):
        compileall.compile_dir(Path(folder).resolve(), quiet=2)


def compile_tests() -> None:
    """Writes the files that the import hook of pytest looks for; without them it makes them itself."""
    from _pytest.assertion import rewrite
    from _pytest.config import get_config

    config = get_config()
    for path in Path("tests").resolve().rglob("*.py"):
        if REWRITTEN.search(str(path)):
            digest, code = rewrite._rewrite_test(path, config)
            folder = rewrite.get_cache_dir(path)
            folder.mkdir(exist_ok=True)
            target = folder / f"{path.stem}{rewrite.PYC_TAIL}"
            rewrite._write_pyc(SimpleNamespace(trace=print), code, digest, target)
    compileall.compile_dir(Path("tests").resolve(), quiet=2, rx=REWRITTEN)


if __name__ == "__main__":
    main()
