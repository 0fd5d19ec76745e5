"""tandem migrate: what the database does not have yet, applied or only told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from api.cli.open_stores import with_embedded_stores
from api.cli.rebuild import AsJson
from api.cli.run import run_async
from api.runtime.migrations import migrated, planned
from api.settings import require_settings
from domain.users.email_keys import SharedAddress

if TYPE_CHECKING:
    from api.settings import Settings

SOMETHING_TO_DO = 3


def migrate_database(
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be applied.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply the migrations that DATABASE_URL does not have yet.

    Example: tandem migrate --plan

    Exit status: 0 all is applied; 1 it cannot be done; with --plan 3 if there is something to apply.
    """

    async def run(settings: Settings) -> int:
        settings = with_embedded_stores(settings)
        require_settings(settings, "database_url")
        if plan:
            names = await planned(settings)
            _print(as_json, {"pending": names}, [f"would apply {name}" for name in names])
            return SOMETHING_TO_DO if names else 0
        names, shared = await migrated(settings)
        lines = [*(f"applied {name}" for name in names), *map(_sentence, shared)]
        told = (
            {"applied": names, "shared": msgspec.to_builtins(shared)}
            if shared
            else {"applied": names}
        )
        _print(as_json, told, lines)
        return 0

    run_async(run)


def _print(as_json: bool, told: dict[str, Any], lines: list[str]) -> None:
    for line in [json.dumps(told)] if as_json else lines:
        typer.echo(line)


def _sentence(shared: SharedAddress) -> str:
    return (
        f"The users {shared.holder} and {shared.other} share the address {shared.address}, which was two"
        " under older rules; let one of them change it."
    )
