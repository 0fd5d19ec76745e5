"""Watches one user over server-sent events, and comes back behind the last version it was told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import msgspec

from tests.chaos.client import ROW
from tests.chaos.history import Row, Watched
from tests.processes import HOST

_QUERY = f"""subscription($id: ID!, $after: Int) {{
    userChanged(id: $id, afterVersion: $after) {{ {ROW} }}
}}"""

_AGAIN = 0.05
"""Seconds between two connections."""


class Watcher:
    """Fills what is given; `run` ends when the user is erased."""

    def __init__(self, port: int, watched: Watched) -> None:
        self._url = f"http://{HOST}:{port}/graphql"
        self._watched = watched
        self._anew = True

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=5.0) as client:
            while not await self._connect(client):
                await asyncio.sleep(_AGAIN)

    async def _connect(self, client: httpx.AsyncClient) -> bool:
        """Until the connection ends; whether that was because nothing more can come."""
        told = self._watched.told
        after = None if self._anew else told[-1][1].version
        body = {"query": _QUERY, "variables": {"id": self._watched.user, "after": after}}
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
        row = msgspec.convert(response["data"]["userChanged"], Row)
        self._watched.told.append((self._anew, row))
        self._watched.times.append(time.monotonic())
        self._anew = False
        return True
