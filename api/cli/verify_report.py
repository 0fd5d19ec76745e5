"""How differences are shown: field by field, and values, which may be personal, only when asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import typer
from rich.console import Console

from domain.log.audit import Mismatch
from readside.admin.parked import ParkedUser
from readside.verify.repair import RepairResult
from readside.verify.verify import VerifyResult

_USER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")

MAX_SHOWN = 100
"""Differences that are shown to a person; a script gets all."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in the end, and what was done before."""

    findings: dict[int, VerifyResult]
    unequal: list[Mismatch]
    repaired: list[RepairResult] = []

    @property
    def agrees(self) -> bool:
        return not (self.unequal or self.aside or any(self.rows(values=False)))

    @property
    def users(self) -> int:
        return sum(findings.users for findings in self.findings.values())

    @property
    def aside(self) -> list[ParkedUser]:
        return [one for findings in self.findings.values() for one in findings.aside]

    def rows(self, *, values: bool) -> Iterator[dict[str, Any]]:
        for number, findings in self.findings.items():
            for one in findings.differences:
                field = _field(one.field, shared=one.shared) if not values else one.field
                place = {"model": "read", "partition": number, "user": one.user, "key": one.key}
                yield {**place, "field": field, **_values(one.should, one.found, values=values)}
        for two in self.unequal:
            place = {"model": "write", "partition": None, "user": two.user, "key": two.table}
            yield {**place, "field": two.field, **_values(two.should, two.found, values=values)}


def show(report: Report, *, values: bool, as_json: bool) -> None:
    """On standard output."""
    rows = list(report.rows(values=values))
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "users": report.users,
                    "differences": rows,
                    "parked": msgspec.to_builtins(report.aside),
                    "repaired": msgspec.to_builtins(report.repaired),
                },
                default=str,
            )
        )
        return
    console = Console(highlight=False, soft_wrap=True)
    for done in report.repaired:
        what = "rebuilt" if done.rebuilt else f"users made anew: {len(done.users)}"
        console.print(f"partition {done.partition}: {what}")
    for row in rows[:MAX_SHOWN]:
        console.print(_sentence(row), markup=False)
    if len(rows) > MAX_SHOWN:
        console.print(f"... and {len(rows) - MAX_SHOWN} more; --json tells all")
    for one in report.aside:
        console.print(
            f"parked: {one.user} at version {one.version} ({one.type}); see `tandem parked`"
        )
    console.print(f"{report.users} users, {len(rows)} differences, {len(report.aside)} parked")


def _sentence(row: dict[str, Any]) -> str:
    where = f"{row['model']} model" if row["partition"] is None else f"partition {row['partition']}"
    whose = f", user {row['user']}" if row["user"] else ""
    place = f"{row['key']} {row['field']}".strip()
    if "should" in row:
        return f"{where}{whose}: {place} should be {row['should']!r}, is {row['found']!r}"
    return f"{where}{whose}: {place} {row['what']}"


def _field(field: str, *, shared: bool) -> str:
    """What stands in an index may be an address; whose it is, is not."""
    if not shared or field.startswith("("):
        return field
    found = _USER.search(field)
    return "(a member)" if found is None else found.group()


def _values(should: Any, found: Any, *, values: bool) -> dict[str, Any]:
    what = "is missing" if found is None else "should not be there" if should is None else "differs"
    return {"what": what, "should": should, "found": found} if values else {"what": what}
