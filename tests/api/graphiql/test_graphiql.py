"""GraphiQL as a browser meets it: the page, the files that it loads, and its example operations.

dist/ is made by the installation of Tandem; these tests ask for it as it is.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from graphql import build_schema, parse, validate
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.routing import Route

from api import graphiql

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "api/graphiql/examples").glob("*.graphql"))


@pytest.fixture
async def browser() -> AsyncIterator[AsyncClient]:
    app = Starlette(routes=[Route("/graphql", graphiql.page), *graphiql.routes()])
    async with AsyncClient(transport=ASGITransport(app), base_url="http://tandem.test") as client:
        yield client


def loaded_by(document: str) -> list[str]:
    return re.findall(r'(?:src|href)="(?!data:)([^"]+)"', document)


async def test_the_page_loads_only_files_that_are_served(browser: AsyncClient) -> None:
    page = await browser.get("/graphql")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert [Path(name).suffix for name in loaded_by(page.text)] == [".css", ".js"]
    for name in loaded_by(page.text):
        assert (await browser.get(f"/{name}")).status_code == 200


async def test_the_page_names_no_other_host(browser: AsyncClient) -> None:
    page = await browser.get("/graphql")
    assert set(re.findall(r"\w+://[^/'\"]+", page.text)) == {"http://www.w3.org"}  # SVG's namespace


async def test_the_page_may_talk_to_its_own_origin_only(browser: AsyncClient) -> None:
    policy = (await browser.get("/graphql")).headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == rules["worker-src"] == "'self'"
    assert "://" not in policy
    assert "unsafe-eval" not in policy


async def test_the_page_holds_no_inline_script(browser: AsyncClient) -> None:
    page = await browser.get("/graphql")
    assert re.findall(r"<script[^>]*>([^<]*)", page.text) == [""]


async def test_the_page_is_revalidated_and_its_files_are_cached(browser: AsyncClient) -> None:
    page = await browser.get("/graphql")
    assert page.headers["cache-control"] == "no-cache"
    for name in loaded_by(page.text):
        assert re.search(r"-[0-9A-Z]{8}\.", name)
        kept = await browser.get(f"/{name}")
        assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert kept.headers["x-content-type-options"] == "nosniff"


async def test_a_file_that_is_not_there_is_not_kept(browser: AsyncClient) -> None:
    missing = await browser.get("/graphiql/graphiql-00000000.js")
    assert missing.status_code == 404
    assert "cache-control" not in missing.headers


async def test_every_chunk_and_worker_that_a_script_names_is_served(browser: AsyncClient) -> None:
    names = json.loads((graphiql.DIST / "manifest.json").read_bytes())["files"]
    scripts = [(await browser.get(f"/graphiql/{name}")).text for name in names]
    named = set(re.findall(r"\"\./([\w.]+-[0-9A-Z]{8}\.\w+)\"", "".join(scripts)))
    assert {name.rpartition("-")[0] for name in named} >= {"chunk", "editor", "json", "graphql"}
    assert named <= set(names)


async def test_without_a_bundle_the_page_says_so(
    browser: AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(graphiql, "DIST", tmp_path / "dist")
    page = await browser.get("/graphql")
    assert page.status_code == 404
    assert page.text == graphiql.NOT_BUILT
    assert graphiql.routes() == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_example_fits_the_schema(example: Path) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    assert validate(schema, parse(example.read_text())) == []
