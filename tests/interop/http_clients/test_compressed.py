"""Clients in other languages read compressed responses, directly and through proxies."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import httpx
import pytest
import requests

from tests.interop.http_clients.backend import backend
from tests.interop.http_clients.conftest import HERE
from tests.interop.http_clients.test_http_clients import DIRECT, NODE, reached, said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.interop.http_clients.conftest import Installed

QUERY = "{ __schema { types { name description } } }"


@pytest.fixture(params=[DIRECT, "nginx", "haproxy"])
async def url(
    request: pytest.FixtureRequest, installed: Installed, place: Path
) -> AsyncIterator[str]:
    """The address of a service that compresses, and its address through each proxy."""
    async with (
        backend(compress_above=1) as seen,
        reached(request.param, seen, installed, place) as url,
    ):
        yield url


async def test_curl_node_and_python_decode_what_they_accept(
    url: str, installed: Installed, place: Path
) -> None:
    async with httpx.AsyncClient(headers={"accept-encoding": "identity"}) as client:
        plain = await client.post(url, json={"query": QUERY})
    assert "content-encoding" not in plain.headers
    curl = await said(
        place,
        *(installed("curl"), "--silent", "--show-error", "--compressed", "--max-time", "20"),
        *("-H", "content-type: application/json", "-d", json.dumps({"query": QUERY})),
        *("--write-out", "\n%header{content-encoding} %{size_download}", url),
    )
    coding, size = curl[-1].split()
    assert coding in {"gzip", "zstd"}
    assert int(size) < len(plain.content) / 2
    assert "\n".join(curl[:-1]) == plain.text
    [line] = await said(place, *NODE, str(HERE / "compressed.mjs"), url, QUERY)
    assert json.loads(line)[0] in {"gzip", "zstd"}
    assert json.loads(line)[1] == plain.text
    posted = await asyncio.to_thread(requests.post, url, json={"query": QUERY}, timeout=20)
    async with httpx.AsyncClient() as client:
        sent = await client.post(url, json={"query": QUERY})
    for response in (posted, sent):
        assert response.headers["content-encoding"] in {"gzip", "zstd"}
        assert response.text == plain.text
