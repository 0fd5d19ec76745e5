"""What the page shows: one frame a second, made once however many look at it, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import PlainTextResponse

from api.engine.execution.concurrency import Slots
from api.errors import Formatted, RequestError
from api.http.graphql_sse import send_stream
from api.observability.coalesce import Coalesced
from api.observability.problems import problems

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from api.auth.access import Access
    from api.observability.pipeline import PartitionView, PipelineStatus, RecentEvent
    from api.observability.routes import Monitoring

_EVERY: Final = 1.0
"""Seconds between two frames."""

_VIEWERS: Final = 50
_EVENTS: Final = 8


class Feed:
    """For those on this machine, and those whose token may read."""

    def __init__(self, watch: Monitoring, access: Access) -> None:
        self._watch = watch
        self._access = access
        self._frame = Coalesced(self._made, _EVERY)
        self._seats = Slots("status pages", _VIEWERS, "fixed")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._access.check_operator(scope)
            with self._seats:
                closing: asyncio.Event = scope["app"].state.closing
                await send_stream(self._frames(), receive, send, _EVERY * 15, closing)
        except RequestError as error:
            answer = PlainTextResponse(f"{error}\n", error.status)
            await answer(scope, receive, send)

    async def _frames(self) -> AsyncGenerator[Formatted, None]:
        while True:
            yield await self._frame.get()
            await asyncio.sleep(_EVERY)

    async def _made(self) -> Formatted:
        look = await self._watch.pipeline.look()
        passing = await self._watch.pipeline.latest(_EVENTS)
        return {
            **frame(look, passing),
            "asked": self._watch.metrics.operations.counted,
        }


def frame(look: PipelineStatus, passing: list[RecentEvent]) -> dict[str, Any]:
    """The picture of one moment; page.js knows these names."""
    logs = [one.backlog for one in look.partitions if one.backlog is not None]
    return {
        "at": look.at,
        "problems": [
            {"part": one.part, "grave": one.grave, "sentence": one.sentence}
            for one in problems(look)
        ],
        "written": max((log.written for log in logs), default=None),
        "unpublished": sum(log.unpublished or 0 for log in logs) if logs else None,
        "oldest": max((log.oldest or 0.0 for log in logs), default=None),
        "partitions": [_row(one) for one in look.partitions],
        "events": [_event(one) for one in passing],
    }


def _row(one: PartitionView) -> dict[str, Any]:
    if one.standing is None:
        return {"number": one.number}
    return {
        "number": one.number,
        "entries": one.standing.entries,
        "behind": one.standing.behind,
        "lag": one.standing.lag or 0.0,
        "applied": one.standing.applied,
        "parked": one.standing.parked,
        "generation": one.standing.generation,
        "building": len(one.standing.building),
    }


def _event(one: RecentEvent) -> dict[str, Any]:
    age = datetime.now(UTC) - one.event.occurred_at
    return {
        "type": one.event.type,
        "user": f"…{str(one.event.user_id)[-6:]}",
        "version": one.event.version,
        "age": max(0.0, age.total_seconds()),
        "shown": one.shown >= one.event.version,
    }
