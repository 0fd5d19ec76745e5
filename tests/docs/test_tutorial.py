"""The code of docs/tutorial.md, applied to a copy of the tree and run on a database that has users in it."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import pytest

from tests.acceptance.cli import environment, other_tandem
from tests.acceptance.service import Client
from tests.acceptance.service import running as service_running
from tests.checked_tree import CACHE, checked_tree
from tests.docs.code_blocks import blocks, copy_of_the_tree
from tests.limited import limited
from tests.processes import HOST, ROOT, TANDEM, free_port, running

if TYPE_CHECKING:
    from api.settings import Settings

PAGE = ROOT / "docs/tutorial.md"
USERS = 3
PHONE = "+49 30 901820"

CREATE = """mutation($input: CreateProductInput!) {
  createProduct(input: $input) {
    id version product { sku price } errors { ... on CommandError { code path } }
  }
}"""
CHANGE_PRICE = """mutation($input: ChangePriceInput!) {
  changePrice(input: $input) { version product { price } errors { ... on CommandError { code } } }
}"""
DISCONTINUE = """mutation($input: DiscontinueProductInput!) {
  discontinueProduct(input: $input) { version errors { ... on CommandError { code } } }
}"""
CREATE_USER = """mutation($input: CreateUserInput!) {
  createUser(input: $input) { id user { phone } errors { ... on CommandError { path } } }
}"""
ERASE = "mutation($input: EraseUserInput!) { eraseUser(input: $input) { version } }"
PRODUCT_QUERY = """query($id: ID!, $version: Int) {
  product(id: $id, minVersion: $version) { sku name price version discontinuedAt }
}"""
LIST = "{ products(first: 2) { totalCount nodes { sku } pageInfo { hasNextPage endCursor } } }"
BANDS = "{ priceBands { lowestPrice products } }"
STORED = """
    select count(*) from (select t::text from users t union all select e::text from events e) as row (text)
    where text like '%901820%'
"""
WATCH = "subscription($id: ID!) { productChanged(id: $id) { version price } }"


@pytest.fixture
def tree() -> Iterator[Path]:
    with copy_of_the_tree("tests", changes=blocks(PAGE)) as tree:
        yield tree


async def test_the_aggregate_of_the_tutorial_works_beside_users_who_were_there_before(
    settings: Settings, tree: Path, tmp_path: Path
) -> None:
    async with service_running(settings) as before:
        users = [await before.create_user(f"U{n}", f"u{n}@example.com") for n in range(USERS)]
    async with serving(settings, tree, tmp_path / "log") as client:
        tea = await created(client, "tea-100", "Tea", "12.50")
        cup = await created(client, "CUP-1", "Cup", "8.00")
        await created(client, "POT-1", "Pot", "49.90")
        await refuses_what_it_must(client, tea)
        async with watched(client, tea) as changes:
            assert await anext(changes) == {"version": 1, "price": "12.50"}
            changed = await client.data(CHANGE_PRICE, input={"productId": tea, "price": "9.99"})
            assert changed["changePrice"]["product"] == {"price": "9.99"}
            assert await anext(changes) == {"version": 2, "price": "9.99"}
        assert await bands(client) == {"1.00": 2, "10.00": 1}
        ended = await client.data(DISCONTINUE, input={"productId": cup})
        assert await product(client, cup, ended["discontinueProduct"]["version"]) == "CUP-1"
        assert await client.data(ERASE, input={"userId": users[0]})
        await has_a_phone_number_until_it_is_erased(client, settings)
        await is_as_expected(client)
        for command in ("verify", "rebuild", "verify"):
            output = await other_tandem(settings, command, PYTHONPATH=str(tree))
            assert output.status == 0, output
            await is_as_expected(client)


async def is_as_expected(client: Client) -> None:
    """The read models after all commands, those of users included."""
    assert await bands(client) == {"1.00": 1, "10.00": 1}
    page = (await client.data(LIST))["products"]
    assert [node["sku"] for node in page["nodes"]] == ["POT-1", "CUP-1"]
    assert (page["totalCount"], page["pageInfo"]["hasNextPage"]) == (3, True)
    nodes = (await client.data("{ users { nodes { name phone } } }"))["users"]["nodes"]
    assert nodes == [{"name": "U2", "phone": ""}, {"name": "U1", "phone": ""}]


async def created(client: Client, sku: str, name: str, price: str) -> str:
    """Creates a product and reads it in the version that was written."""
    given = {"sku": sku, "name": name, "price": price}
    payload = (await client.data(CREATE, input=given))["createProduct"]
    assert payload["product"] == {"sku": sku.upper(), "price": price}
    assert await product(client, payload["id"], payload["version"]) == sku.upper()
    product_id: str = payload["id"]
    return product_id


async def product(client: Client, product_id: str, version: int) -> str:
    found = (await client.data(PRODUCT_QUERY, id=product_id, version=version))["product"]
    assert found["version"] == version
    sku: str = found["sku"]
    return sku


async def refuses_what_it_must(client: Client, tea: str) -> None:
    again = {"sku": "TEA-100", "name": "Other tea", "price": "1.00"}
    payload = (await client.data(CREATE, input=again))["createProduct"]
    assert payload["errors"] == [{"code": "SKU_TAKEN", "path": ["input", "sku"]}]
    invalid = {"sku": "?", "name": "", "price": "0"}
    payload = (await client.data(CREATE, input=invalid))["createProduct"]
    assert [error["path"][1] for error in payload["errors"]] == ["sku", "name", "price"]
    missing = {"productId": f"{tea[:-12]}000000000000", "price": "1.00"}
    payload = (await client.data(CHANGE_PRICE, input=missing))["changePrice"]
    assert payload["errors"] == [{"code": "PRODUCT_NOT_FOUND"}]


async def has_a_phone_number_until_it_is_erased(client: Client, settings: Settings) -> None:
    """A new user of the section about a new field."""
    given = {"name": "Zoë", "email": "zoe@example.com"}
    payload = (await client.data(CREATE_USER, input=given | {"phone": "?"}))["createUser"]
    assert payload["errors"] == [{"path": ["input", "phone"]}]
    payload = (await client.data(CREATE_USER, input=given | {"phone": PHONE}))["createUser"]
    assert payload["user"] == {"phone": PHONE}
    connection = await asyncpg.connect(settings.database_url)
    try:
        assert await connection.fetchval(STORED) == 2
        await client.data(ERASE, input={"userId": payload["id"]})
        async with limited(20):
            while await connection.fetchval(STORED):
                await asyncio.sleep(0.05)
    finally:
        await connection.close()


async def bands(client: Client) -> dict[str, int]:
    answer = await client.data(BANDS)
    return {band["lowestPrice"]: band["products"] for band in answer["priceBands"]}


@asynccontextmanager
async def watched(client: Client, product_id: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The states of a product that a subscription sends."""
    request = {"query": WATCH, "variables": {"id": product_id}}
    headers = {"accept": "text/event-stream"}
    async with client.http.stream("POST", "/graphql", json=request, headers=headers) as response:

        async def states() -> AsyncIterator[dict[str, Any]]:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))["data"]["productChanged"]

        yield states()


@asynccontextmanager
async def serving(settings: Settings, tree: Path, log: Path) -> AsyncIterator[Client]:
    """A service of the code in `tree`, which migrates the database first."""
    port = str(free_port())
    env = environment(settings, PYTHONPATH=str(tree), PORT=port, READ_TIMEOUT="10")
    async with (
        running(TANDEM, "serve", env=env, log=log) as process,
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=15) as http,
    ):
        client = Client(http)
        async with limited(30):
            while process.returncode is None:
                try:
                    await client.until_built()
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        assert process.returncode is None, log.read_text()
        assert "0009_products.sql" in log.read_text()
        yield client


TESTS = (
    "tests/test_registries.py",
    "tests/test_fields.py",
    "tests/domain/products",
    "tests/domain/test_tables.py",
    "tests/domain/test_written_events.py",
    "tests/api/schema/test_schema.py::test_schema_graphql_is_what_the_code_declares",
)


@pytest.mark.timeout(900)  # as mypy on the whole tree
async def test_the_tools_find_nothing_in_the_code_of_the_tutorial(tree: Path) -> None:
    files = sorted({block.path for block in blocks(PAGE) if block.path.endswith(".py")})
    await asyncio.to_thread(copy_mypy_cache, tree)
    await run(tree, "tandem", "schema", out="schema.graphql")
    await asyncio.gather(
        run(tree, "mypy", *files),
        run(tree, "pytest", "-p", "no:cacheprovider", *TESTS),
    )
    for command in ("lint-imports --no-cache", "ruff check", "ruff format --check"):
        await run(tree, *command.split(), *(files if command.startswith("ruff") else ()))


def copy_mypy_cache(tree: Path) -> None:
    """Copies it to files of the same contents: mypy checks what differs, and what depends on that."""
    with checked_tree():
        shutil.copytree(CACHE, tree / CACHE.name)


async def run(tree: Path, program: str, *arguments: str, out: str | None = None) -> None:
    """Runs a program of the environment in the tree; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / program,
        *arguments,
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    if out is not None:
        (tree / out).write_bytes(output)


def test_the_products_of_other_tests_are_those_of_the_page() -> None:
    """tests/products has the same domain; only its place, and so the names of modules, differ."""
    for block in blocks(PAGE):
        name = block.path.removeprefix("domain/products/")
        other = ROOT / "tests/products/domain" / name
        if name != block.path and name not in {"__init__.py", "values.py"}:
            assert code(block.text) == code(other.read_text()), other
        if block.language == "sql" and "product" in block.path:
            assert block.text == (ROOT / "tests/products/products.sql").read_text()


def code(text: str) -> tuple[list[str], set[str]]:
    """Returns the statements of a module, and what it imports."""
    body = ast.parse(text.replace("tests.products.domain", "domain.products")).body
    imports = {
        f"{node.module}.{alias.name}"
        for node in body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return [ast.unparse(node) for node in body if not isinstance(node, ast.ImportFrom)], imports
