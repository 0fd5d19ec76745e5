"""Compares all partitions, or one aggregate, and repairs what differs."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from api.cli.verify_report import Report
from domain.envelope import partition_of
from domain.log.audit import Audit, Mismatch
from readside.verify.repair import repair
from readside.verify.verify import VerifyResult

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from api.cli.open_stores import OpenStores


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
