"""HTTP routes for operators: /livez, /readyz and /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from api.auth.security_headers import SecurityHeaders
from api.limits import Limits
from api.observability.health import health
from api.observability.heartbeat import Heartbeat
from api.observability.metrics import Metrics
from api.observability.pipeline import Pipeline

Guard = Callable[["Request"], Awaitable[Response | None]]
"""Returns the response to a request that may not read metrics; None to one that may."""


async def unrestricted(_: Request) -> None:
    """Guard of HEALTH_PORT, to which the operator controls access."""


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """The metrics, the heartbeats and the pipeline status of this process, and their routes."""

    pipeline: Pipeline
    metrics: Metrics
    heartbeats: dict[str, list[Heartbeat]] = field(default_factory=dict)
    """By role."""
    serves_clients: bool = False

    def add_heartbeat(self, role: str, name: str) -> Heartbeat:
        """Returns a new heartbeat, for a loop that starts now."""
        heartbeat = Heartbeat(name)
        self.heartbeats.setdefault(role, []).append(heartbeat)
        return heartbeat

    def routes(self, guard: Guard = unrestricted) -> list[Route]:
        return [LIVEZ, Route("/readyz", self._readyz), Route("/metrics", self._metrics(guard))]

    async def _readyz(self, _: Request) -> Response:
        report = await health(self.pipeline, self.heartbeats, serves_clients=self.serves_clients)
        status = 200 if report.ready else 503
        return Response(msgspec.json.encode(report), status, media_type="application/json")

    def _metrics(self, guard: Guard) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            if (refusal := await guard(request)) is not None:
                return refusal
            text = self.metrics.render(await self.pipeline.status())
            return Response(text, media_type=CONTENT_TYPE_LATEST)

        return respond


async def _livez(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")


LIVEZ: Final = Route("/livez", _livez)


def health_app(monitoring: Monitoring, limits: Limits) -> Starlette:
    """Returns the application of HEALTH_PORT."""
    app = Starlette(routes=monitoring.routes(), middleware=[Middleware(SecurityHeaders)])
    app.router.redirect_slashes = False
    app.state.limits = limits
    app.state.closing = asyncio.Event()
    return app
