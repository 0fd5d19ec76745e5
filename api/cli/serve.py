"""tandem up, serve, api, relay and projector: the commands that serve until a signal ends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.run import run_async, run_sync
from api.roles import ALL, Role

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from api.settings import Settings

AllowAnonymous = Annotated[
    bool,
    typer.Option(
        "--allow-anonymous",
        help="Listen beyond this machine although everybody may do everything.",
    ),
]
Workers = Annotated[int, typer.Option(min=1, max=256, help="Processes that serve the one port.")]


def up(allow_anonymous: AllowAnonymous = False) -> None:
    """Run everything, with a PostgreSQL and a Valkey of its own. Example: PORT=8080 tandem up"""

    def run(settings: Settings) -> Coroutine[Any, Any, None]:
        from api.runtime import startup

        return startup.up(settings)

    run_async(run, allow_anonymous=allow_anonymous)


def serve(allow_anonymous: AllowAnonymous = False) -> None:
    """Run everything on DATABASE_URL and REDIS_URL, after migrating the database."""
    _serve(ALL, first_migrate=True, allow_anonymous=allow_anonymous)


def api(allow_anonymous: AllowAnonymous = False, workers: Workers = 1) -> None:
    """Run the GraphQL API alone; `tandem relay` and `tandem projector` run elsewhere.

    Example: tandem api --workers 4
    """

    def run(settings: Settings) -> None:
        from api.runtime import startup

        startup.crew(settings, workers)

    if workers > 1:
        run_sync(run, allow_anonymous=allow_anonymous)
    else:
        _serve(frozenset({Role.API}), allow_anonymous=allow_anonymous)


def relay() -> None:
    """Run the relay alone: from the event log to the streams."""
    _serve(frozenset({Role.RELAY}))


def projector() -> None:
    """Run the projectors alone: from the streams to the read models."""
    _serve(frozenset({Role.PROJECTOR}))


def _serve(
    roles: frozenset[Role], *, first_migrate: bool = False, allow_anonymous: bool = False
) -> None:
    def run(settings: Settings) -> Coroutine[Any, Any, None]:
        from api.runtime import startup

        return startup.serve(settings, roles, first_migrate=first_migrate)

    run_async(run, allow_anonymous=allow_anonymous)
