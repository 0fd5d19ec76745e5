"""Runs commands of the CLI as processes, on the stores of a service in this process."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import msgspec

from tests.limited import limited
from tests.processes import ROOT, TANDEM

if TYPE_CHECKING:
    from api.settings import Settings


class Output(msgspec.Struct, frozen=True):
    """The result of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """Returns the environment of a process on the stores of these settings."""
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url or "",
        "REDIS_URL": settings.redis_url or "",
        "PARTITIONS": str(settings.partitions),
        **more,
    }


async def run_on(settings: Settings, *words: str, **more: str) -> Output:
    """Runs `tandem words...` on the stores of these settings until it exits."""
    return await run(environment(settings, **more), *words)


async def run(environ: dict[str, str], *words: str) -> Output:
    """Runs `tandem words...` in this environment until it exits."""
    process = await asyncio.create_subprocess_exec(
        TANDEM,
        *words,
        cwd=ROOT,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with limited(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Output(process.returncode, out.decode(), err.decode())
