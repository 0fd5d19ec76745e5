"""The status page in a real browser: it is live, explains its values, and shows no personal data."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx

from tests import forked
from tests.api.tokens import AUDIENCE, ISSUER, SECRET, signed
from tests.limited import limited
from tests.processes import HOST, free_port
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.graphql_clients.conftest import Serve
    from tests.interop.graphql_clients.node import Node

TOKENS = {"AUTH_SECRET": SECRET, "AUTH_AUDIENCE": AUDIENCE, "AUTH_ISSUER": ISSUER}


async def test_the_page_shows_an_event_and_a_rebuild_on_a_desktop_and_on_a_phone(
    chromium: str, node: Node, serve: Serve
) -> None:
    async with serve() as address:
        seen = await node.tell("status.mjs", address, chromium)
    assert "version 1" in seen["line"]
    assert seen["rows"] == PARTITIONS
    assert "grace" not in seen["text"].lower()
    assert not seen["light"]["overflows"]
    assert not seen["dark"]["overflows"]
    assert seen["light"]["ground"] != seen["dark"]["ground"]
    assert seen["withoutLegend"] == []
    for rebuild in (seen["rebuild"]["desktop"], seen["rebuild"]["phone"]):
        assert rebuild == {
            "text": "Rebuild of 2 partitions: 500,000 of 2,000,000 events",
            "share": 0.25,
            "models": ["served, rebuild 45 %", "rebuild 5 %", "being built", "not served"],
            "broken": [],
            "overflows": False,
        }
    policy = seen["headers"]["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert seen["origins"] == [f"http://{address}"]
    assert seen["complaints"] == []


async def test_from_another_machine_the_page_requires_a_token_that_permits_reading(
    chromium: str, node: Node, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    port = free_port()
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PARTITIONS": str(PARTITIONS)}
    env = {"HOST": HOST, "PORT": str(port), **stores, **TOKENS}
    address = f"{HOST}:{port}"
    async with forked.running("serve", env=env, log=tmp_path / "serve.log"):
        await _ready(address)
        tokens = signed(scope="users:write"), signed(scope="users:read")
        seen = await node.tell("status_outside.mjs", address, chromium, *tokens)
    assert seen == {"visible": [False, False, True], "origins": [f"http://{address}"]}


async def _ready(address: str) -> None:
    async with limited(30), httpx.AsyncClient(base_url=f"http://{address}") as http:
        while True:
            with suppress(httpx.TransportError):
                if set((await http.get("/readyz")).json()["parts"].values()) == {"ok"}:
                    return
            await asyncio.sleep(0.05)
