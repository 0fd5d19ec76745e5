"""HOST=unix:/path: the permissions of the file, and whose file is replaced and removed."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from api.runtime.listeners import bind_api, bind_port, bind_workers, close
from api.runtime.unix_socket import UnixListener
from api.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api.sock"


def bind(path: Path) -> socket.socket:
    [listener] = bind_api(Settings(host=f"unix:{path}"))
    return listener


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_owner_and_group_may_connect_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with closing(bind(path)):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


def test_a_file_that_a_dead_server_has_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    with closing(bind(path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@pytest.mark.parametrize("waiting", [0, 2], ids=["idle", "with a full backlog"])
def test_a_server_that_lives_is_not_replaced(path: Path, waiting: int) -> None:
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(waiting)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(str(path))
        with pytest.raises(OSError, match="in use"):
            bind(path)
        assert path.is_socket()
        close(clients)


def test_a_service_that_has_not_begun_to_accept_is_not_replaced(path: Path) -> None:
    with closing(bind(path)), pytest.raises(OSError, match="in use"):
        bind(path)


def test_a_file_that_is_no_socket_is_not_replaced(path: Path) -> None:
    path.write_text("data")
    with pytest.raises(FileExistsError, match="not a socket"):
        bind(path)
    assert path.read_text() == "data"


def test_a_link_to_a_socket_is_not_followed(path: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "other"))
    path.symlink_to(tmp_path / "other")
    with pytest.raises(FileExistsError, match="not a socket"):
        bind(path)
    assert (tmp_path / "other").is_socket()


def test_the_file_is_removed_at_the_end(path: Path) -> None:
    close([bind(path)])
    assert not path.exists()


def test_the_file_of_a_successor_is_not_removed(path: Path) -> None:
    listener = bind(path)
    assert isinstance(listener, UnixListener)
    path.unlink()
    with closing(bind(path)), closing(listener):
        listener.remove_file()
        assert path.is_socket()


def test_a_removed_file_or_directory_is_no_error(path: Path, tmp_path: Path) -> None:
    listener = bind(path)
    path.unlink()
    tmp_path.rmdir()
    close([listener])
    close([listener])


def test_the_workers_share_the_socket_and_health_ports_are_local(path: Path) -> None:
    settings = Settings(host=f"unix:{path}")
    first, second = bind_workers(settings, 2)
    assert first[0] is second[0]
    [health] = bind_port(settings, 0)
    assert health.getsockname()[0] == "127.0.0.1"
    close([health, *first])


def test_authentication_is_not_needed_because_no_other_machine_can_connect(path: Path) -> None:
    assert Settings().local_only
    close([bind(path)])
