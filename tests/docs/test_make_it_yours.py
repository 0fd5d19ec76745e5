"""The script of docs/make-it-yours.md, run on a copy of the tree that has the aggregate of the tutorial."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from redis.asyncio import Redis

from tests.acceptance.cli import environment
from tests.docs.code_blocks import blocks, copy_of_the_tree
from tests.docs.test_tutorial import PAGE, run
from tests.limited import limited
from tests.processes import HOST, free_port, running

if TYPE_CHECKING:
    from api.settings import Settings

SCRIPT = ".ci/setup/make_it_yours.py"
REST = (".ci", "docs", "tests", "README.md", "Makefile", "Dockerfile", "compose.yaml")
PROGRAM = "from api.cli import main; main()"

TESTS = (
    "tests/test_fields.py",
    "tests/test_registries.py",
    "tests/domain/products",
    "tests/domain/test_migrate.py",
    "tests/domain/test_written_events.py",
    "tests/domain/log/test_cursor.py",
    "tests/readside/generations/test_fold.py",
    "tests/readside/test_timestamps.py",
    "tests/api/test_settings.py",
    "tests/api/http/test_content_negotiation.py",
)
"""Those of the machinery that are left, without the longest."""

CREATE = """mutation {
  createProduct(input: {sku: "TEA-1", name: "Tea", price: "1.50"}) { product { sku version } }
}"""


@pytest.fixture
def tree() -> Iterator[Path]:
    product = blocks(PAGE, section="An aggregate of your own")
    with copy_of_the_tree(*REST, changes=product) as tree:
        yield tree


async def test_a_service_with_another_name_and_aggregate_runs_and_its_tests_pass(
    settings: Settings, tree: Path, tmp_path: Path
) -> None:
    await run(tree, "python", SCRIPT, "shop", "--without-example", "--directory", str(tree))
    assert not list(tree.rglob("*tandem*"))
    assert 'name = "shop"' in (tree / "pyproject.toml").read_text()
    installed(tree)
    await run(tree, "python", "-c", PROGRAM, "schema", out="schema.graphql")
    port = str(free_port())
    env = environment(settings, PYTHONPATH=str(tree), PORT=port)
    async with (
        running(sys.executable, "-P", "-c", PROGRAM, "serve", env=env, log=tmp_path / "log"),
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}") as http,
        Redis.from_url(settings.redis_url or "") as redis,
    ):
        async with limited(30):
            while not await built(http):
                await asyncio.sleep(0.1)
        created = (await http.post("/graphql", json={"query": CREATE})).json()
        assert created["data"]["createProduct"]["product"] == {"sku": "TEA-1", "version": 1}
        assert "shop_read_model_served" in (await http.get("/metrics")).text
        assert {key.split(b":")[0] async for key in redis.scan_iter()} == {b"shop"}
    for command in ("lint-imports --no-cache", "ruff check --no-cache api domain readside"):
        await run(tree, *command.split())
    await run(tree, "pytest", "-p", "no:cacheprovider", *TESTS)


def installed(tree: Path) -> None:
    """Adds what `make up` would: the metadata of the package under its new name."""
    (tree / "shop-0.1.0.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: shop\nVersion: 0.1.0\n"
    (tree / "shop-0.1.0.dist-info/METADATA").write_text(metadata)


async def built(http: httpx.AsyncClient) -> bool:
    """Whether the service has started and serves its read models."""
    try:
        answer = await http.post("/graphql", json={"query": "{ products { totalCount } }"})
    except httpx.TransportError:
        return False
    return "errors" not in answer.json()


async def test_without_another_aggregate_the_example_is_kept(tree: Path) -> None:
    (tree / "domain/aggregates.py").write_text("from domain.users.aggregate import USER\n")
    with pytest.raises(AssertionError, match="Add an aggregate of your own to domain/aggregates"):
        await run(tree, "python", SCRIPT, "shop", "--without-example", "--directory", str(tree))
    assert (tree / "domain/users").exists()


async def test_a_name_that_cannot_be_a_prefix_is_refused(tree: Path) -> None:
    with pytest.raises(AssertionError, match="lower-case letters and digits"):
        await run(tree, "python", SCRIPT, "My-Shop", "--directory", str(tree))
