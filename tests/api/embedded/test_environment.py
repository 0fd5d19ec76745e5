"""The processes of the stores get the variables that they need, and none of the service's secrets."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.embedded.child_process import Program, run_to_end
from api.embedded.data_directory import opened_directory
from tests.limited import limited
from tests.processes import TANDEM, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "a-secret-of-at-least-thirty-two-bytes"
SECRETS = {
    "AUTH_SECRET": SECRET,
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRET}",
    "CLOUD_ACCESS_KEY": SECRET,
    "PGPASSWORD": SECRET,
    "REDIS_PASSWORD": SECRET,
    "PGOPTIONS": f"-c search_path={SECRET}",
}
NEEDED = {"PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LC_ALL", "TZ"}


async def test_a_store_is_started_with_the_variables_that_it_needs(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**SECRETS, "DATABASE_URL": SECRET, "LD_PRELOAD": ""}.items():
        monkeypatch.setenv(name, value)
    with opened_directory(data_dir) as data:
        program = Program(
            name="env",
            command=("/usr/bin/env",),
            data=data,
            folder=".",
            log_file="env.log",
            death_signal=signal.SIGKILL,
            stop_signals=((signal.SIGKILL, 5.0),),
            identity="same",
        )
        await run_to_end(program, lock=data.descriptor, timeout_seconds=30)
        printed = data.read("env.log") or ""
    found = dict(line.split("=", 1) for line in printed.splitlines())
    assert found.keys() <= NEEDED
    assert found["PATH"] == os.environ["PATH"]
    assert (found["LC_ALL"], found["TZ"]) == ("C", "UTC")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the variables of a process")
async def test_no_process_below_tandem_up_has_a_secret_of_the_service(tmp_path: Path) -> None:
    """From the first moment: also what prepares a cluster, and each launcher before its program."""
    given = {"PORT": str(free_port()), "DATA_DIR": str(tmp_path / "data"), **SECRETS}
    log = tmp_path / "log"
    seen: set[str] = set()
    async with running(TANDEM, "up", env=given, log=log) as process:
        async with limited(60):
            while "Ctrl-C" not in log.read_text():
                assert process.returncode is None, log.read_text()
                seen |= without_secrets(process.pid)
                await asyncio.sleep(0.005)
        seen |= without_secrets(process.pid)
        assert SECRET in read(process.pid, "environ")
    assert {"initdb", "postgres", "valkey-server"} <= seen, seen


def without_secrets(service: int) -> set[str]:
    """Asserts that no descendant shows a secret, and returns their programs.

    A process that was forked and has not yet started its program is still a copy of the service.
    """
    seen = set()
    for pid in descendants(service):
        arguments = read(pid, "cmdline")
        if arguments != read(service, "cmdline"):
            seen.add(read(pid, "comm").strip())
            assert SECRET not in arguments
            assert SECRET not in read(pid, "environ"), arguments
    return seen


def descendants(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from descendants(int(child))


def read(pid: int, name: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text()
    return ""
