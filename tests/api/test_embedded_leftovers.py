"""Stores that outlived a killed Tandem are ended where they are at work, and nobody else is."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

from api.embedded import embedded_stores
from api.embedded.leftovers import end_leftovers

if TYPE_CHECKING:
    from pathlib import Path


async def test_both_stores_of_a_data_directory_are_found_and_ended(data_dir: Path) -> None:
    async with embedded_stores(data_dir, durable=False) as stores:
        end_leftovers(data_dir)
        async with asyncio.timeout(10):
            await asyncio.gather(*(server.exited() for server in stores.servers))


def test_a_process_that_got_the_number_of_a_store_is_left_alone(data_dir: Path) -> None:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, cwd=os.sep) as other:
        for name in ("postgres/postmaster.pid", "valkey/valkey.pid"):
            (data_dir / name).parent.mkdir(parents=True)
            (data_dir / name).write_text(f"{other.pid}\n")
        end_leftovers(data_dir)
        other.communicate(timeout=10)
    assert other.returncode == 0


def test_half_written_process_ids_are_no_leftovers(data_dir: Path) -> None:
    (data_dir / "valkey").mkdir(parents=True)
    (data_dir / "valkey" / "valkey.pid").write_text("")
    end_leftovers(data_dir)
