"""Event streams and multipart streams through proxies with their default buffers, and one that compresses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.api.in_memory_app import ALICE, edge, served
from tests.interop.http_clients.proxies import CONFIGURATIONS, proxied
from tests.limited import limited

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.http_clients.conftest import Installed

PLAIN = CONFIGURATIONS["nginx"]
BUFFERED = "proxy_buffering on; proxy_buffers 8 64k; proxy_buffer_size 64k;"
GZIP = "gzip on; gzip_types *; gzip_proxied any; gzip_min_length 0; gzip_vary on;"
PROXIES = {
    "nginx": replace(PLAIN, more=PLAIN.more + BUFFERED),
    "nginx with gzip": replace(PLAIN, more=PLAIN.more + BUFFERED + GZIP),
    "haproxy": CONFIGURATIONS["haproxy"],
}
WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ version }} }}'
MULTIPART = "multipart/mixed;subscriptionSpec=1.0,application/json"


@pytest.mark.parametrize("accept", ["text/event-stream", MULTIPART])
@pytest.mark.parametrize("name", PROXIES)
async def test_each_event_arrives_before_the_next_one_happens(
    name: str, accept: str, installed: Installed, place: Path
) -> None:
    program = installed(PROXIES[name].program)
    async with edge(compress_above=1) as made, served(made.app) as address:
        made.reads.put(ALICE, "Alice")
        host, port = address.split(":")
        async with (
            proxied(PROXIES[name], program, (host, int(port)), place) as proxy,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{proxy.port}") as client,
            client.stream(
                "POST", "/graphql", json={"query": WATCH}, headers={"accept": accept}
            ) as response,
            limited(20),
        ):
            assert response.status_code == 200
            assert response.headers["content-type"].startswith(accept.split(";")[0])
            compressed = "content-encoding" in response.headers
            assert compressed is (name == "nginx with gzip")
            lines = response.aiter_lines()
            for version in range(1, 6):
                made.reads.put(ALICE, "Alice", version)
                async for line in lines:
                    if f'"version":{version}' in line:
                        break
