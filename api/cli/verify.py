"""tandem verify: every user of the write model against the read model, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import msgspec
import typer

from api.cli.open_stores import OpenStores, open_stores
from api.cli.progress import bar
from api.cli.rebuild import AsJson
from api.cli.run import run_async
from api.cli.verify_report import Report, show
from domain.envelope import partition_of
from domain.log.audit import Audit, Mismatch
from domain.users.events import UserId
from readside.verify.repair import RepairResult, repair
from readside.verify.verify import VerifyResult

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from api.settings import Settings

COULD_NOT_VERIFY = 2


def verify(
    repairing: Annotated[
        bool, typer.Option("--repair", help="Make it right from the log, and look again.")
    ] = False,
    user: Annotated[UUID | None, typer.Option(help="Only this user.")] = None,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Print values, which may be personal.")
    ] = False,
    patience: Annotated[
        float, typer.Option(help="Seconds for what is on its way to arrive.", min=0)
    ] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Compare every user of the write model with the read model, while both are in use.

    What is on its way is no difference. Users who are parked are told too.

    Example: tandem verify --repair

    Exit status: 0 no difference; 1 differences, or somebody is parked; 2 it could not look.
    """

    async def run(settings: Settings) -> int:
        async with open_stores(settings) as stores:
            with bar(hidden=as_json) as shown:
                looking = VerifyRun(stores, shown, user, patience)
                report = await looking.everywhere()
                if repairing:
                    report = await looking.repaired(report)
        show(report, values=show_values, as_json=as_json)
        return 0 if report.agrees else 1

    run_async(run, refused=COULD_NOT_VERIFY, quiet=True)


class VerifyRun:
    """One run over everything, or over one user, that may be repeated."""

    def __init__(self, stores: OpenStores, shown: Bar, user: UUID | None, patience: float) -> None:
        self._stores = stores
        self._shown = shown
        self._user = None if user is None else UserId(user)
        self._patience = patience

    async def everywhere(self) -> Report:
        """Both directions, and the tables of the write model. Raises NotServing."""
        findings = {number: await self._partition(number) for number in self._partitions()}
        return Report(findings=findings, unequal=await self._audit())

    async def repaired(self, report: Report) -> Report:
        """Looks again at the partitions to which something had to be done."""
        done = []
        for number, findings in report.findings.items():
            if findings.differences:
                done.append(await self._repair(number, findings))
                report.findings[number] = await self._partition(number)
        return msgspec.structs.replace(report, repaired=done)

    def _partitions(self) -> Sequence[int]:
        number = self._stores.settings.partitions
        return range(number) if self._user is None else [partition_of(self._user, number)]

    async def _partition(self, number: int) -> VerifyResult:
        compare = self._stores.verify(number, self._patience)
        if self._user is not None:
            return await compare.of_user(self._user)
        task = self._shown.add_task(f"partition {number}", total=None)
        findings = await compare.run(lambda users: self._shown.update(task, completed=users))
        self._shown.update(task, total=findings.users, completed=findings.users)
        return findings

    async def _repair(self, number: int, findings: VerifyResult) -> RepairResult:
        return await repair(self._stores.steering(number), number, findings)

    async def _audit(self) -> list[Mismatch]:
        audit = Audit(self._stores.pool)
        if self._user is not None:
            return await audit.of_users([self._user])
        return [unequal async for page in audit.run() for unequal in page]
