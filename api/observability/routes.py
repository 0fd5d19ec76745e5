"""What a process tells whoever runs it: /livez, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from api.errors import RequestError
from api.observability.health import health
from api.observability.heartbeat import Heartbeat
from api.observability.metrics import Metrics

if TYPE_CHECKING:
    from starlette.requests import Request

    from api.observability.pipeline import Pipeline

Guard = Callable[["Request"], Awaitable[None]]
"""Raises RequestError for whoever may not see more than whether we are well."""


async def everybody(_: Request) -> None:
    """On a port of its own, which whoever runs Tandem keeps to himself."""


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """What there is to be told of this process."""

    pipeline: Pipeline
    metrics: Metrics
    pulses: dict[str, list[Heartbeat]] = field(default_factory=dict)
    """By role."""
    answers: bool = False
    """Whether it answers clients."""

    def pulse(self, role: str, name: str) -> Heartbeat:
        """One more, of a loop that begins now."""
        made = Heartbeat(name)
        self.pulses.setdefault(role, []).append(made)
        return made

    def routes(self, guard: Guard = everybody) -> list[Route]:
        return [
            LIVEZ,
            Route("/readyz", self._readyz),
            Route("/metrics", guarded(guard, self._metrics)),
        ]

    async def _readyz(self, _: Request) -> Response:
        found = await health(self.pipeline, self.pulses, answers=self.answers)
        body = msgspec.json.encode(found)
        status = 200 if found.ready else 503
        return Response(body, status, media_type="application/json")

    async def _metrics(self, _: Request) -> Response:
        told = self.metrics.told(await self.pipeline.look())
        return Response(told, media_type=CONTENT_TYPE_LATEST)


def guarded(
    guard: Guard, answer: Callable[[Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """The same answer, for those whom the guard lets pass."""

    async def checked(request: Request) -> Response:
        try:
            await guard(request)
        except RequestError as error:
            more = dict([error.header]) if error.header else {}
            headers = {name.decode(): value.decode() for name, value in more.items()}
            return PlainTextResponse(f"{error}\n", error.status, headers=headers)
        return await answer(request)

    return checked


async def _livez(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")


LIVEZ: Final = Route("/livez", _livez)
