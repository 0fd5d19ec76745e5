"""Verbs of the command line, run as a person would, beside a service that runs in this process."""

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


class Said(msgspec.Struct, frozen=True):
    """What a verb came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The stores of these settings, for a process."""
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url or "",
        "REDIS_URL": settings.redis_url or "",
        "PARTITIONS": str(settings.partitions),
        **more,
    }


async def ask(settings: Settings, *words: str, **more: str) -> Said:
    """Runs `tandem words...` on these stores to its end."""
    return await run(environment(settings, **more), *words)


async def run(environ: dict[str, str], *words: str) -> Said:
    """Runs `tandem words...` in this environment to its end."""
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
    return Said(process.returncode, out.decode(), err.decode())
