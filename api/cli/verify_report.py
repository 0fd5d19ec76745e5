"""Prints what verify found, field by field; values, which may be personal, only on request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import typer

from domain.log.audit import Mismatch
from readside.admin.parked_aggregates import ParkedAggregate
from readside.verify.difference import aggregate_in
from readside.verify.repair import RepairResult
from readside.verify.verify import VerifyResult

MAX_SHOWN = 100
"""Differences that are listed in text; JSON has all."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The last findings, and the repairs before them."""

    findings: dict[int, VerifyResult]
    unequal: list[Mismatch]
    repaired: list[RepairResult] = []

    @property
    def agrees(self) -> bool:
        return not (self.unequal or self.aside or any(self.rows(values=False)))

    @property
    def aggregates(self) -> int:
        return sum(findings.aggregates for findings in self.findings.values())

    @property
    def aside(self) -> list[ParkedAggregate]:
        return [each for findings in self.findings.values() for each in findings.parked]

    def rows(self, *, values: bool) -> Iterator[dict[str, Any]]:
        """Yields each difference as the JSON output has it."""
        for number, findings in self.findings.items():
            for found in findings.differences:
                id_, key = found.aggregate_id, found.key
                where = {"model": "read", "partition": number, "user": id_, "key": key}
                field = found.field if values else _field(found.field, shared=found.shared)
                yield {**where, "field": field, **_values(found.should, found.found, values=values)}
        for row in self.unequal:
            where = {"model": "write", "partition": None, "user": row.aggregate, "key": row.table}
            yield {**where, "field": row.field, **_values(row.should, row.found, values=values)}


def show(report: Report, *, values: bool, as_json: bool) -> None:
    """Prints a report on standard output."""
    rows = list(report.rows(values=values))
    if not as_json:
        for line in _lines(report, rows):
            typer.echo(line)
        return
    data = {
        "users": report.aggregates,
        "differences": rows,
        "parked": msgspec.to_builtins(report.aside),
        "repaired": msgspec.to_builtins(report.repaired),
    }
    typer.echo(json.dumps(data, default=str))


def _lines(report: Report, rows: list[dict[str, Any]]) -> Iterator[str]:
    for repair in report.repaired:
        done = "rebuilt" if repair.rebuilt else f"{len(repair.aggregates)} aggregates resynced"
        yield f"partition {repair.partition}: {done}"
    yield from map(_sentence, rows[:MAX_SHOWN])
    if len(rows) > MAX_SHOWN:
        yield f"... and {len(rows) - MAX_SHOWN} more; --json lists all"
    for found in report.aside:
        yield f"parked: {found.aggregate_id} at version {found.version} ({found.type}); see `tandem parked`"
    yield f"{report.aggregates} aggregates, {len(rows)} differences, {len(report.aside)} parked"


def _sentence(row: dict[str, Any]) -> str:
    model = f"{row['model']} model" if row["partition"] is None else f"partition {row['partition']}"
    of_one = f", {row['user']}" if row["user"] else ""
    field = f"{row['key']} {row['field']}".strip()
    if "should" in row:
        return f"{model}{of_one}: {field} should be {row['should']!r}, is {row['found']!r}"
    return f"{model}{of_one}: {field} {row['what']}"


def _field(field: str, *, shared: bool) -> str:
    """Returns a field without the text of a shared entry, which may be personal; the id remains."""
    if not shared or field.startswith("("):
        return field
    return str(aggregate_in(field) or "(a member)")


def _values(should: Any, found: Any, *, values: bool) -> dict[str, Any]:
    what = "is missing" if found is None else "should not be there" if should is None else "differs"
    return {"what": what, "should": should, "found": found} if values else {"what": what}
