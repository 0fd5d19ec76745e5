"""Unsafe content of a data directory: no file outside is changed, and the refusal is one sentence."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from api.embedded import embedded_stores
from api.embedded.data_directory import opened_directory
from api.embedded.ownership import claim
from api.embedded.sockets import private_directory, socket_directory
from api.operator_error import OperatorError

as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root on Linux can change owners"
)
UNPRIVILEGED = 65534
UNNAMED = 54321
"""A user id that has no name on this machine."""


class Outside:
    """A directory with a file that must stay as it is."""

    def __init__(self, place: Path) -> None:
        self.directory = place
        self.file = place / "foreign"
        place.mkdir(mode=0o755)
        self.file.write_text("keep")
        self.file.chmod(0o644)
        self.remember()

    def remember(self) -> None:
        self._before = self._state()

    def _state(self) -> list[tuple[str, int, int, int]]:
        return [
            (path.name, found.st_mode, found.st_uid, found.st_gid)
            for path in (self.directory, *self.directory.rglob("*"))
            for found in [path.lstat()]
        ]

    def assert_unchanged(self) -> None:
        assert self._state() == self._before
        assert self.file.read_text() == "keep"


@pytest.fixture
def outside(data_dir: Path) -> Outside:
    return Outside(data_dir.parent / "outside")


def link(path: Path, outside: Outside) -> None:
    path.symlink_to(outside.file)


def link_to_nothing(path: Path, outside: Outside) -> None:
    path.symlink_to(outside.directory / "new")


def link_to_a_directory(path: Path, outside: Outside) -> None:
    path.symlink_to(outside.directory)


def hard_link(path: Path, outside: Outside) -> None:
    path.hardlink_to(outside.file)


def fifo(path: Path, _: Outside) -> None:
    os.mkfifo(path)


def directory(path: Path, _: Outside) -> None:
    path.mkdir()


def unix_socket(path: Path, _: Outside) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(
            f"/proc/self/fd/{here}/{path.name}" if os.path.exists("/proc") else str(path)
        )
    os.close(here)


def device(path: Path, _: Outside) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except OSError:
        pytest.skip("This user cannot make a device.")


Trap = Callable[[Path, Outside], None]
GiveAway = Callable[[], None]
FILE_TRAPS = [link, link_to_nothing, link_to_a_directory, hard_link, fifo, directory, unix_socket]
"""Objects that may replace a file."""
STORE_TRAPS = [link, link_to_nothing, link_to_a_directory, hard_link, fifo, unix_socket, device]
"""Objects that a store's directory must not contain."""


@pytest.fixture(
    params=[None, UNPRIVILEGED, UNNAMED],
    ids=["ours", "of an unprivileged user", "of an unnamed user"],
)
def give_away(request: pytest.FixtureRequest, data_dir: Path) -> GiveAway:
    """Gives all of the data directory to its owner in this test, links themselves included."""
    owner = request.param
    if owner is not None and os.geteuid() != 0:
        pytest.skip("Only root can give a directory to another user.")
    data_dir.parent.chmod(0o711)

    def give() -> None:
        for path in (data_dir, *data_dir.rglob("*")) if owner is not None else ():
            if path.is_symlink() or path.stat().st_nlink == 1 or path.is_dir():
                os.chown(path, owner, owner, follow_symlinks=False)

    return give


async def refusal(data_dir: Path) -> str:
    with pytest.raises(OperatorError) as refused:
        async with embedded_stores(data_dir, durable=False):
            pass
    text = str(refused.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


@pytest.mark.parametrize("trap", [link, hard_link, fifo], ids=lambda trap: trap.__name__)
@pytest.mark.parametrize("name", ["lock", "servers.lock", "postgres.log", "valkey.log"])
async def test_a_start_changes_no_file_that_a_name_leads_to(
    data_dir: Path, outside: Outside, give_away: GiveAway, name: str, trap: Trap
) -> None:
    data_dir.mkdir()
    trap(data_dir / name, outside)
    give_away()
    assert (await refusal(data_dir)).startswith(f"{data_dir / name} ")
    outside.assert_unchanged()


@pytest.mark.parametrize("name", ["postgres", "valkey"])
@pytest.mark.parametrize("trap", [link, link_to_nothing, link_to_a_directory, hard_link, fifo])
async def test_the_directory_of_a_store_is_no_link(
    data_dir: Path, outside: Outside, give_away: GiveAway, name: str, trap: Trap
) -> None:
    data_dir.mkdir()
    trap(data_dir / name, outside)
    (outside.directory / "PG_VERSION").write_text("18")
    outside.remember()
    give_away()
    assert (await refusal(data_dir)).startswith(f"{data_dir / name} cannot be used (")
    outside.assert_unchanged()


@pytest.mark.parametrize("trap", STORE_TRAPS, ids=lambda trap: trap.__name__)
@pytest.mark.parametrize(
    "name",
    [
        "valkey/valkey.pid",
        "valkey/appendonlydir",
        "valkey/appendonlydir/appendonly.aof.manifest",
        "valkey/dump.rdb",
        "postgres/postmaster.pid",
        "postgres/postmaster.opts",
        "postgres/postgresql.auto.conf",
        "postgres/pg_wal",
        "postgres/base/1/1259",
    ],
)
async def test_a_store_with_links_in_its_directory_does_not_start(
    data_dir: Path, outside: Outside, give_away: GiveAway, name: str, trap: Trap
) -> None:
    store, _, _ = name.partition("/")
    (data_dir / name).parent.mkdir(parents=True)
    (data_dir / store / "PG_VERSION").write_text("18")
    trap(data_dir / name, outside)
    give_away()
    with (
        opened_directory(data_dir) as data,
        pytest.raises(OperatorError, match=f"^{data_dir / name} .*DATA_DIR to another"),
    ):
        claim(data, store, data.owner)
    outside.assert_unchanged()


@pytest.mark.parametrize("trap", STORE_TRAPS, ids=lambda trap: trap.__name__)
def test_a_change_of_owner_of_a_store_affects_no_foreign_file(
    data_dir: Path, outside: Outside, trap: Trap
) -> None:
    """Also where PostgreSQL keeps links itself: they may be of the user who had it before."""
    if os.geteuid() != 0:
        pytest.skip("Only root can give a directory to another user.")
    place = data_dir / "postgres" / "pg_tblspc"
    place.mkdir(parents=True)
    trap(place / "16385", outside)
    with opened_directory(data_dir) as data, pytest.raises(OperatorError, match="16385"):
        claim(data, "postgres", UNPRIVILEGED)
    outside.assert_unchanged()


def test_the_links_that_postgres_makes_for_tablespaces_stay(
    data_dir: Path, outside: Outside
) -> None:
    place = data_dir / "postgres" / "pg_tblspc"
    place.mkdir(parents=True)
    link_to_a_directory(place / "16385", outside)
    with opened_directory(data_dir) as data:
        claim(data, "postgres", os.geteuid())
    outside.assert_unchanged()


@pytest.mark.parametrize("trap", [link, link_to_a_directory, hard_link, fifo, directory])
@pytest.mark.parametrize("name", ["run", "postgres.new"])
def test_remains_of_an_earlier_run_are_removed_without_their_targets(
    data_dir: Path, outside: Outside, give_away: GiveAway, name: str, trap: Trap
) -> None:
    data_dir.mkdir()
    trap(data_dir / name, outside)
    give_away()
    with opened_directory(data_dir) as data:
        data.remove(name)
        data.make(name)
        with data.entered(name) as made:
            assert made.owner == data.owner
    outside.assert_unchanged()


@as_root
def test_root_removes_no_directory_of_its_own_that_another_user_may_have_renamed(
    data_dir: Path,
) -> None:
    (data_dir / "run" / "kept").mkdir(parents=True)
    os.chown(data_dir, UNPRIVILEGED, -1)
    with (
        opened_directory(data_dir) as data,
        pytest.raises(OperatorError, match=rf"^{data_dir / 'run'} belongs to user 0, .*\.$"),
    ):
        data.remove("run")
    assert (data_dir / "run" / "kept").exists()


def test_a_link_to_the_socket_directory_of_another_tandem_is_removed_alone(data_dir: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("Only root can remove what belongs to another user.")
    data_dir.mkdir()
    os.chown(data_dir, UNPRIVILEGED, -1)
    with private_directory() as other:
        try:
            (data_dir / "run").symlink_to(other.path)
            with opened_directory(data_dir) as data, socket_directory(data) as sockets:
                assert sockets.path == data_dir / "run"
            assert other.path.exists()
        finally:
            other.path.rmdir()


def test_a_data_directory_that_is_replaced_after_it_was_opened_is_used_no_more(
    data_dir: Path, outside: Outside
) -> None:
    with opened_directory(data_dir) as data:
        moved = data_dir.rename(data_dir.parent / "moved")
        data_dir.symlink_to(outside.directory)
        with data.opened("lock") as lock:
            os.write(lock, b"1")
        data.make("postgres.new")
        data.rename("postgres.new", "postgres")
        claim(data, "postgres", data.owner)
        data.remove("foreign")
    assert sorted(path.name for path in moved.iterdir()) == ["lock", "postgres"]
    outside.assert_unchanged()


async def test_a_link_to_a_data_directory_is_followed(data_dir: Path) -> None:
    (data_dir.parent / "real").mkdir()
    data_dir.symlink_to("real")
    with opened_directory(data_dir / ".." / "data" / "below") as data, data.opened("lock"):
        pass
    assert (data_dir.parent / "real" / "below" / "lock").exists()


def test_a_link_to_itself_is_one_sentence(data_dir: Path) -> None:
    data_dir.symlink_to(data_dir)
    with (
        pytest.raises(OperatorError, match=r"^The .*(symbolic links): .*\.$"),
        opened_directory(data_dir),
    ):
        pass


@as_root
def test_root_uses_no_path_in_which_another_user_may_replace_a_directory(data_dir: Path) -> None:
    unsafe = data_dir.parent / "unsafe"
    unsafe.mkdir()
    unsafe.chmod(0o777)
    with (
        pytest.raises(OperatorError, match=rf"^Every user may replace what is in {unsafe}: .*\.$"),
        opened_directory(unsafe / "data"),
    ):
        pass
    assert list(unsafe.iterdir()) == []
    unsafe.chmod(0o1777)
    with opened_directory(unsafe / "data") as data:
        assert data.owner == 0
    os.chown(unsafe, UNPRIVILEGED, -1)
    for path in (unsafe / "data", unsafe / "data" / "below"):
        with (
            pytest.raises(OperatorError, match=rf"^{unsafe} belongs to user {UNPRIVILEGED}, .*\.$"),
            opened_directory(path),
        ):
            pass


@as_root
def test_root_follows_no_link_of_a_third_user(data_dir: Path, outside: Outside) -> None:
    data_dir.symlink_to(outside.directory)
    os.chown(data_dir, UNPRIVILEGED, -1, follow_symlinks=False)
    with (
        pytest.raises(OperatorError, match=rf"^{data_dir} belongs to user {UNPRIVILEGED}, .*\.$"),
        opened_directory(data_dir),
    ):
        pass
    outside.assert_unchanged()


@as_root
def test_directories_that_root_creates_for_a_user_belong_to_that_user(data_dir: Path) -> None:
    home = data_dir.parent / "home"
    home.mkdir()
    os.chown(home, UNPRIVILEGED, -1)
    with opened_directory(home / "a" / "b") as data, data.opened("lock"):
        data.make("valkey")
    owners = {path.name: path.lstat().st_uid for path in home.rglob("*")}
    assert owners == dict.fromkeys(["a", "b", "lock", "valkey"], UNPRIVILEGED)
    assert stat.S_IMODE((home / "a" / "b").stat().st_mode) == 0o700


@as_root
@pytest.mark.parametrize(
    "owner", [UNPRIVILEGED, UNNAMED], ids=["unprivileged", "a user without a name"]
)
async def test_stores_have_the_rights_of_the_owner_of_the_data_directory(
    data_dir: Path, owner: int
) -> None:
    data_dir.mkdir()
    os.chown(data_dir, owner, -1)
    data_dir.parent.chmod(0o711)
    for _ in range(2):
        async with embedded_stores(data_dir, durable=False) as stores:
            assert {Path(f"/proc/{server.pid}").stat().st_uid for server in stores.servers} == {
                owner
            }
            connection = await asyncpg.connect(stores.database_url)
            await connection.close()
            async with Redis.from_url(stores.redis_url) as valkey:
                assert await valkey.ping()
    assert {path.lstat().st_uid for path in data_dir.rglob("*")} == {owner}


@as_root
async def test_a_store_of_a_third_user_is_not_taken_from_that_user(data_dir: Path) -> None:
    (data_dir / "valkey").mkdir(parents=True)
    os.chown(data_dir, UNPRIVILEGED, -1)
    data_dir.parent.chmod(0o711)
    assert (await refusal(data_dir)).startswith(f"{data_dir / 'valkey'} belongs to user 0 ")
    assert (data_dir / "valkey").stat().st_uid == 0


@as_root
async def test_a_file_of_a_third_user_is_not_changed(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "lock").write_text("keep")
    os.chown(data_dir / "lock", UNNAMED, -1)
    assert (await refusal(data_dir)).startswith(f"{data_dir / 'lock'} belongs to user {UNNAMED},")
    assert (data_dir / "lock").read_text() == "keep"


@pytest.mark.parametrize("trap", [*FILE_TRAPS, device], ids=lambda trap: trap.__name__)
@pytest.mark.parametrize("name", ["lock", "servers.lock", "postgres.log", "valkey.log"])
def test_a_file_is_opened_only_if_it_is_a_file_with_one_name(
    data_dir: Path, outside: Outside, give_away: GiveAway, name: str, trap: Trap
) -> None:
    data_dir.mkdir()
    trap(data_dir / name, outside)
    give_away()
    with opened_directory(data_dir) as data:
        for flags in (os.O_RDWR, os.O_WRONLY | os.O_APPEND):
            with pytest.raises(OperatorError, match=f"^{data_dir / name} .*DATA_DIR to another"):
                data.open(name, flags)
        assert data.read(name) in {None, "keep"}  # only of a hard link, which is a regular file
    outside.assert_unchanged()
