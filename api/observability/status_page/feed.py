"""The data of the status page: one frame a second as server-sent events, computed once for all viewers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from api.auth.access import Access
from api.engine.execution.concurrency import Slots
from api.errors import Formatted, RequestError
from api.http.graphql_sse import EVENT_STREAM
from api.http.result_stream import ResultStream
from api.observability.coalesce import Coalesced
from api.observability.pipeline import PartitionView, PipelineStatus, RecentEvent
from api.observability.problems import problems
from api.observability.routes import Monitoring

_INTERVAL_SECONDS: Final = 1.0
_MAX_VIEWERS: Final = 50
_RECENT_EVENTS: Final = 8


class Feed:
    """The ASGI endpoint of the feed, for clients on this machine and those whose token permits reading."""

    def __init__(self, monitoring: Monitoring, access: Access) -> None:
        self._monitoring = monitoring
        self._access = access
        self._frame = Coalesced(self._compute_frame, _INTERVAL_SECONDS)
        self._slots = Slots("status pages", _MAX_VIEWERS, "fixed")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._access.check_operator(scope)
            with self._slots:
                closing: asyncio.Event = scope["app"].state.closing
                stream = ResultStream(EVENT_STREAM, self._frames())
                await stream.send(receive, send, _INTERVAL_SECONDS * 15, closing)
        except RequestError as error:
            response = PlainTextResponse(f"{error}\n", error.status)
            await response(scope, receive, send)

    async def _frames(self) -> AsyncGenerator[Formatted, None]:
        while True:
            yield await self._frame.get()
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def _compute_frame(self) -> Formatted:
        pipeline = self._monitoring.pipeline
        status = await pipeline.status()
        return {
            **frame(status, await pipeline.recent_events(_RECENT_EVENTS)),
            "operations": self._monitoring.metrics.operations.total,
        }


def frame(status: PipelineStatus, events: list[RecentEvent]) -> dict[str, Any]:
    """Returns the frame of one moment; page.js reads these names."""
    backlogs = [view.backlog for view in status.partitions if view.backlog is not None]
    return {
        "at": status.at,
        "problems": [
            {"part": problem.part, "critical": problem.critical, "sentence": problem.sentence}
            for problem in problems(status)
        ],
        "written": max((log.written for log in backlogs), default=None),
        "unpublished": sum(log.unpublished or 0 for log in backlogs) if backlogs else None,
        "oldest": max((log.oldest or 0.0 for log in backlogs), default=None),
        "partitions": [_partition(view) for view in status.partitions],
        "events": [_event(event) for event in events],
    }


def _partition(view: PartitionView) -> dict[str, Any]:
    if (status := view.status) is None:
        return {"number": view.number}
    return {
        "number": view.number,
        "entries": status.entries,
        "behind": status.behind,
        "lag": status.lag or 0.0,
        "applied": status.applied,
        "parked": status.parked,
        "generation": status.generation,
        "building": bool(status.building),
        "rebuild": status.progress
        and {
            "done": status.progress.done,
            "expected": status.progress.expected,
        },
    }


def _event(recent: RecentEvent) -> dict[str, Any]:
    age = datetime.now(UTC) - recent.event.occurred_at
    return {
        "type": recent.event.type,
        "aggregate": recent.event.aggregate,
        "id": f"…{str(recent.event.aggregate_id)[-6:]}",
        "version": recent.event.version,
        "age": max(0.0, age.total_seconds()),
        "visible": recent.visible_version >= recent.event.version,
    }
