"""A process that holds embedded stores until it is killed or its input ends, for tests to kill.

python -m tests.embedded_process DATA_DIR asyncio|uvloop
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from api.embedded import embedded_stores
from api.operator_error import OperatorError


async def hold(data_dir: Path) -> None:
    async with embedded_stores(data_dir) as stores:
        sys.stdout.write(f"{stores.database_url} {stores.redis_url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    run = {"asyncio": asyncio.run, "uvloop": uvloop.run}[sys.argv[2]]
    try:
        run(hold(Path(sys.argv[1])))
    except OperatorError as error:
        sys.exit(str(error))
