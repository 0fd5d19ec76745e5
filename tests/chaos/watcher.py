"""Watches one user or product over server-sent events, and comes back behind the last version it was told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import msgspec

from tests.chaos.client import PRODUCT_ROW, ROW
from tests.chaos.history import ProductRow, Row, Shown, Watched
from tests.processes import HOST

_FIELDS: dict[str, tuple[str, str, type[Shown]]] = {
    "user": ("userChanged", ROW, Row),
    "product": ("productChanged", PRODUCT_ROW, ProductRow),
}
"""By aggregate: the subscription, what it selects, and the struct of that."""

_QUERY = """subscription($id: ID!, $after: Int) {
    %s(id: $id, afterVersion: $after) { %s }
}"""

_AGAIN = 0.05
"""Seconds between two connections."""


class Watcher:
    """Fills what is given; `run` ends when a user is erased; a product can always change."""

    def __init__(self, port: int, watched: Watched) -> None:
        self._url = f"http://{HOST}:{port}/graphql"
        self._watched = watched
        self._anew = True

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=5.0, verify=False) as client:  # reads no certificates
            while not await self._connect(client):
                await asyncio.sleep(_AGAIN)

    async def _connect(self, client: httpx.AsyncClient) -> bool:
        """Until the connection ends; whether that was because nothing more can come."""
        told = self._watched.told
        after = None if self._anew else told[-1][1].version
        name, selection, _ = _FIELDS[self._watched.aggregate]
        body = {
            "query": _QUERY % (name, selection),
            "variables": {"id": self._watched.user, "after": after},
        }
        accept = {"accept": "text/event-stream"}
        event = ""
        try:
            async with client.stream("POST", self._url, json=body, headers=accept) as response:
                async for line in response.aiter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        event = value
                    elif field == "data" and event == "next" and not self._take(value):
                        return False
        except httpx.HTTPError:
            return False
        return event == "complete"

    def _take(self, data: str) -> bool:
        """Whether it was a version of the user."""
        response: dict[str, Any] = msgspec.json.decode(data)
        if error := next(iter(response.get("errors", ())), None):
            self._anew = self._anew or error["extensions"]["code"] == "CHANGES_FORGOTTEN"
            return False
        name, _, kind = _FIELDS[self._watched.aggregate]
        row = msgspec.convert(response["data"][name], kind)
        self._watched.told.append((self._anew, row))
        self._watched.times.append(time.monotonic())
        self._anew = False
        return True
