"""tandem doctor: checks the environment of Tandem; each line of output is ok, or says what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from api.cli.run import AsJson, run_async

if TYPE_CHECKING:
    from api.cli.checks.finding import Finding
    from api.settings import Settings

_COLOURS = {"ok": "green", "hint": "yellow", "wrong": "red"}


def doctor(as_json: AsJson = False) -> None:
    """Check settings, versions, clocks, migrations, permissions.

    Changes nothing, except that it loads the functions of this version into Redis, as every process does.

    Example: tandem doctor --json

    Exit status: 0 nothing is wrong, hints or not; 1 something is, or cannot be checked.
    """

    async def run(settings: Settings) -> int:
        import msgspec

        findings = await _check(settings)
        if as_json:
            typer.echo(json.dumps({"findings": msgspec.to_builtins(findings)}))
        else:
            _show(findings)
        return int(any(finding.level == "wrong" for finding in findings))

    run_async(run, quiet=True)


async def _check(settings: Settings) -> list[Finding]:
    from api.cli.checks import log_source, postgres, process_settings, redis
    from api.cli.open_database import located
    from api.runtime import drivers

    settings = located(settings, "database_url", "redis_url")
    async with (
        drivers.database(settings) as pool,
        drivers.redis_for_functions(settings) as client,
    ):
        findings = [
            *process_settings.check(settings),
            *await postgres.check(pool, settings),
            *await redis.check(client, settings),
        ]
        return [*findings, *await log_source.check(pool, client, settings, findings)]


def _show(findings: list[Finding]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        colour = _COLOURS[finding.level]
        console.print(f"[{colour}]{finding.level:<5}[/] {finding.what:<{width}}  ", end="")
        console.print(finding.says, markup=False)
