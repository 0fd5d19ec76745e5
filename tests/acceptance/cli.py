"""Runs commands of the CLI in processes of their own, next to a service in this process."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tests.forked import start
from tests.limited import limited
from tests.processes import ROOT, TANDEM

if TYPE_CHECKING:
    from api.settings import Settings


class Output(msgspec.Struct, frozen=True):
    """The exit status and the output of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """Returns the environment variables that name the stores of these settings."""
    return {
        "DATABASE_URL": settings.database_url or "",
        "REDIS_URL": settings.redis_url or "",
        "PARTITIONS": str(settings.partitions),
        **more,
    }


async def tandem(settings: Settings, *words: str, **more: str) -> Output:
    """Runs `tandem words...` on these stores to its end."""
    return await tandem_with(environment(settings, **more), *words)


async def tandem_with(environ: dict[str, str], *words: str) -> Output:
    """Runs `tandem words...` to its end, in the environment of this process and this one."""
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory, "out"), Path(directory, "err")
        member = start("tandem", words, environ, out, err=err)
        try:
            async with limited(60):
                await member.ended()
        finally:
            member.kill()
        assert member.returncode is not None
        return Output(member.returncode, out.read_text(), err.read_text())


async def other_tandem(settings: Settings, *words: str, **more: str) -> Output:
    """Runs `tandem words...` on these stores to its end, in a new interpreter, which may run other code."""
    process = await asyncio.create_subprocess_exec(
        TANDEM,
        *words,
        cwd=ROOT,
        env=os.environ | environment(settings, **more),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with limited(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Output(process.returncode, out.decode(), err.decode())
