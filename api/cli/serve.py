"""tandem up, serve, api, relay and projector: the commands that run until a signal."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.run import run_async, run_sync

if TYPE_CHECKING:
    from api.settings import Settings

AllowAnonymous = Annotated[
    bool,
    typer.Option(
        "--allow-anonymous",
        help="Listen beyond this machine although every request may do everything.",
    ),
]
Workers = Annotated[
    int, typer.Option(min=1, max=256, help="Number of processes that share the port.")
]


def up(allow_anonymous: AllowAnonymous = False) -> None:
    """Run everything, with its own PostgreSQL and Valkey. Example: PORT=8080 tandem up"""

    def run(settings: Settings) -> Coroutine[Any, Any, None]:
        from api.runtime import startup

        return startup.up(settings)

    run_async(run, allow_anonymous=allow_anonymous)


def serve(allow_anonymous: AllowAnonymous = False) -> None:
    """Migrate, then run everything on DATABASE_URL and REDIS_URL."""
    _serve("api", "relay", "projector", migrate_first=True, allow_anonymous=allow_anonymous)


def api(allow_anonymous: AllowAnonymous = False, workers: Workers = 1) -> None:
    """Run only the GraphQL API.

    `tandem relay` and `tandem projector` run in other processes.

    Example: tandem api --workers 4
    """

    def run(settings: Settings) -> None:
        from api.runtime import startup

        startup.serve_with_workers(settings, workers)

    if workers > 1:
        run_sync(run, allow_anonymous=allow_anonymous)
    else:
        _serve("api", allow_anonymous=allow_anonymous)


def relay() -> None:
    """Run only the relay: it appends the events to the streams."""
    _serve("relay")


def projector() -> None:
    """Run only the projectors: they apply events to read models."""
    _serve("projector")


def _serve(*roles: str, migrate_first: bool = False, allow_anonymous: bool = False) -> None:
    def run(settings: Settings) -> Coroutine[Any, Any, None]:
        from api.roles import Role
        from api.runtime import startup

        return startup.serve(settings, frozenset(map(Role, roles)), migrate_first=migrate_first)

    run_async(run, allow_anonymous=allow_anonymous)
