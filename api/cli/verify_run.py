"""Compares all partitions, or one aggregate, repairs what differs, and prints it field by field."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any
from uuid import UUID

import msgspec
import typer
from rich.progress import Progress as Bar

from api.cli.open_stores import OpenStores
from domain.envelope import partition_of
from domain.log.audit import Audit, Mismatch
from readside.admin.parked_aggregates import ParkedAggregate
from readside.verify.difference import aggregate_in
from readside.verify.repair import RepairResult, repair
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


class VerifyRun:
    """A comparison that is repeated for the partitions that were repaired. Raises NotServing."""

    def __init__(self, stores: OpenStores, bar: Bar, only: UUID | None, patience: float) -> None:
        self._stores = stores
        self._bar = bar
        self._only = only
        self._patience = patience

    async def compare(self) -> Report:
        """Compares the read model with the log in both directions, and the write model with the log."""
        count = self._stores.settings.partitions
        chosen = range(count) if self._only is None else [partition_of(self._only, count)]
        results = await self._compare_partitions(chosen)
        return Report(findings=results, unequal=await self._audit())

    async def repair(self, report: Report) -> Report:
        """Repairs the partitions with differences, and compares these again."""
        differing = {
            number: found for number, found in report.findings.items() if found.differences
        }
        repaired = [
            await repair(self._stores.maintenance(number), number, found)
            for number, found in differing.items()
        ]
        results = report.findings | await self._compare_partitions(differing)
        return msgspec.structs.replace(report, findings=results, repaired=repaired)

    async def _compare_partitions(self, partitions: Collection[int]) -> dict[int, VerifyResult]:
        if self._only is not None:
            return {
                number: await self._stores.verify(number, self._patience).of_aggregate(self._only)
                for number in partitions
            }
        total = 0 if self._bar.disable else await self._stores.log.count_aggregates(partitions)
        task = self._bar.add_task("", total=total)
        results: dict[int, VerifyResult] = {}
        for number in partitions:
            done = sum(result.aggregates for result in results.values())

            def advance(number: int, done: int = done) -> None:
                self._bar.update(task, completed=min(done + number, total))

            self._bar.update(task, description=f"partition {number}")
            results[number] = await self._stores.verify(number, self._patience).run(advance)
        self._bar.update(task, completed=total, description="write model")
        return results

    async def _audit(self) -> list[Mismatch]:
        audit = Audit(self._stores.pool)
        if self._only is not None:
            return await audit.of_id(self._only)
        return [mismatch async for page in audit.run() for mismatch in page]


def show(report: Report, *, values: bool, as_json: bool) -> None:
    """Prints a report on standard output, with `values`, which may be personal, only on request."""
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
    for done in report.repaired:
        how = "rebuilt" if done.rebuilt else f"{len(done.aggregates)} aggregates resynced"
        yield f"partition {done.partition}: {how}"
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
