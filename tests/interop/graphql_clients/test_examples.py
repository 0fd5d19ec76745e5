"""The client examples of docs/clients.md, run against a real service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.interop.graphql_clients.node import NODE
from tests.processes import ROOT, ended, running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.graphql_clients.conftest import Serve
    from tests.interop.graphql_clients.node import Node

EXAMPLES = ROOT / "docs/examples"
OUTPUT = [
    "created 1",
    "read Ada 1",
    "refused EMAIL_ALREADY_REGISTERED",
    "changed Ada 1",
    "changed Ada 2 2",
    "changed Ada 3 3",
]
SECONDS = 30.0


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, str(EXAMPLES / "client.py")),
        (NODE, str(EXAMPLES / "client.mjs")),
    ],
    ids=["python", "javascript"],
)
async def test_an_example_does_what_it_says(
    command: tuple[str, ...], serve: Serve, tmp_path: Path
) -> None:
    log = tmp_path / "example.log"
    async with serve() as address, running(*command, f"http://{address}", log=log) as process:
        status = await ended(process, SECONDS)
    assert status == 0, log.read_text()
    assert log.read_text().splitlines() == OUTPUT


async def test_the_pictures_of_the_readme_can_be_taken(
    chromium: str, node: Node, serve: Serve, tmp_path: Path
) -> None:
    """tests/interop/graphql_clients/pictures.py takes those in docs/pictures with the same program."""
    async with serve() as address:
        sizes = await node.tell("pictures.mjs", address, chromium, str(tmp_path), "light")
    committed = {picture.name for picture in (EXAMPLES.parent / "pictures").glob("*.png")}
    assert set(sizes) == {name for name in committed if "light" in name}
