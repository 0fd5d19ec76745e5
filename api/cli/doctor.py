"""tandem doctor: is everything around Tandem as it should be? Each line is ok, or says what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console

from api.cli.checks import log_source, postgres, process_settings, redis
from api.cli.checks.finding import Finding
from api.cli.open_stores import with_embedded_stores
from api.cli.rebuild import AsJson
from api.cli.run import run_async
from api.runtime import drivers
from api.settings import require_settings

if TYPE_CHECKING:
    from api.settings import Settings

_STYLES = {"ok": "green", "hint": "yellow", "wrong": "red"}


def doctor(as_json: AsJson = False) -> None:
    """Look at settings, versions, clocks, migrations, functions and permissions. Changes nothing but that it
    loads the functions of this version into Redis, as every process does.

    Example: tandem doctor --json

    Exit status: 0 nothing is wrong, hints or not; 1 something is, or it cannot look.
    """

    async def run(settings: Settings) -> int:
        findings = await _looked(with_embedded_stores(settings))
        if as_json:
            typer.echo(json.dumps({"findings": msgspec.to_builtins(findings)}))
        else:
            _show(findings)
        return int(any(finding.level == "wrong" for finding in findings))

    run_async(run, quiet=True)


async def _looked(settings: Settings) -> list[Finding]:
    require_settings(settings, "database_url", "redis_url")
    async with (
        drivers.database(settings) as pool,
        drivers.redis_for_functions(settings) as client,
    ):
        found = [
            *process_settings.look(settings),
            *await postgres.look(pool, settings),
            *await redis.look(client, settings),
        ]
        return [*found, *await log_source.look(pool, client, settings, found)]


def _show(findings: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        style = _STYLES[finding.level]
        console.print(f"[{style}]{finding.level:<5}[/] {finding.what:<{width}}  ", end="")
        console.print(finding.says, markup=False)
