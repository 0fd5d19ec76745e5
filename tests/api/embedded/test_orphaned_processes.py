"""Stores that outlived a killed Tandem process are ended, and no other process is."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from api.embedded import embedded_stores
from api.embedded.data_directory import opened_directory
from api.embedded.locks import end_orphans, pid_in
from api.operator_error import OperatorError
from tests.limited import limited

if TYPE_CHECKING:
    from pathlib import Path


async def test_both_stores_of_a_data_directory_are_found_and_ended(data_dir: Path) -> None:
    async with embedded_stores(data_dir, durable=False) as stores:
        with opened_directory(data_dir) as data:
            end_orphans(data)
        async with limited(10):
            await asyncio.gather(*(server.exited() for server in stores.servers))


def test_a_process_that_got_the_number_of_a_store_is_left_alone(data_dir: Path) -> None:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, cwd=os.sep) as other:
        for name in ("postgres/postmaster.pid", "valkey/valkey.pid"):
            (data_dir / name).parent.mkdir(parents=True)
            (data_dir / name).write_text(f"{other.pid}\n")
        with opened_directory(data_dir) as data:
            end_orphans(data)
        other.communicate(timeout=10)
    assert other.returncode == 0


@pytest.mark.parametrize("text", ["", "-1", "0", "1", "²", "9" * 5000, "12 34"])
def test_text_that_is_no_process_id_ends_no_process(data_dir: Path, text: str) -> None:
    (data_dir / "valkey").mkdir(parents=True)
    (data_dir / "valkey" / "valkey.pid").write_text(text)
    with opened_directory(data_dir) as data:
        end_orphans(data)
        with data.entered("valkey") as valkey:
            assert pid_in(valkey, "valkey.pid") is None


def test_a_process_that_works_in_a_directory_behind_a_link_is_left_alone(data_dir: Path) -> None:
    elsewhere = data_dir.parent / "elsewhere"
    elsewhere.mkdir()
    data_dir.mkdir()
    (data_dir / "valkey").symlink_to(elsewhere)
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, cwd=elsewhere) as other:
        (elsewhere / "valkey.pid").write_text(f"{other.pid}\n")
        with (
            opened_directory(data_dir) as data,
            pytest.raises(OperatorError, match=r"valkey cannot be used .it is a symbolic link"),
        ):
            end_orphans(data)
        other.communicate(timeout=10)
    assert other.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act on processes of another user")
def test_a_process_of_another_user_than_the_directory_s_is_left_alone(data_dir: Path) -> None:
    (data_dir / "valkey").mkdir(parents=True)
    for path in (data_dir, data_dir / "valkey"):
        os.chown(path, 65534, -1)
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, cwd=data_dir / "valkey") as other:
        (data_dir / "valkey" / "valkey.pid").write_text(f"{other.pid}\n")
        with opened_directory(data_dir) as data:
            end_orphans(data)
        other.communicate(timeout=10)
    assert other.returncode == 0
