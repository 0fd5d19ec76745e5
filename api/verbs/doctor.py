"""tandem doctor: is everything around Tandem as it should be? Each line is ok, or says what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console

from api import drivers
from api.doctor import here, identity, postgres, redis
from api.doctor.finding import Finding
from api.verbs.asked import carry_out, external
from api.verbs.rebuild import AsJson
from api.verbs.stores import located

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
        findings = await _looked(located(settings))
        if as_json:
            typer.echo(json.dumps({"findings": msgspec.to_builtins(findings)}))
        else:
            _show(findings)
        return int(any(finding.level == "wrong" for finding in findings))

    carry_out(run, quiet=True)


async def _looked(settings: Settings) -> list[Finding]:
    external(settings, "database_url", "redis_url")
    async with (
        drivers.database(settings) as pool,
        drivers.redis_for_functions(settings) as client,
    ):
        found = [
            *here.look(settings),
            *await postgres.look(pool, settings),
            *await redis.look(client, settings),
        ]
        return [*found, *await identity.look(pool, client, settings, found)]


def _show(findings: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        style = _STYLES[finding.level]
        console.print(f"[{style}]{finding.level:<5}[/] {finding.what:<{width}}  ", end="")
        console.print(finding.says, markup=False)
