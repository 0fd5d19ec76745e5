"""HOST=fd:3: which descriptors are accepted, and systemd's variables about them."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from api.operator_error import OperatorError
from api.runtime.listeners import bind_api, close
from api.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def passed() -> Iterator[int]:
    """A descriptor of a listening socket, which the test owns."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield os.dup(listener.fileno())


def bind(descriptor: int) -> socket.socket:
    [listener] = bind_api(Settings(host=f"fd:{descriptor}"))
    return listener


def test_a_listening_socket_is_used_as_it_is_and_children_do_not_inherit_it(passed: int) -> None:
    os.set_inheritable(passed, True)
    listener = bind(passed)
    assert listener.fileno() == passed
    assert not listener.get_inheritable()
    close([listener])


def test_the_file_of_an_inherited_unix_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(str(path))
        owner.listen()
        close([bind(os.dup(owner.fileno()))])
        assert path.is_socket()


def test_systemds_variables_are_removed(passed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", str(passed - 2))
    close([bind(passed)])
    assert not {"LISTEN_PID", "LISTEN_FDS"} & os.environ.keys()


@pytest.mark.parametrize(
    ("pid", "number", "reason"),
    [(str(os.getppid()), "100", "another process"), (str(os.getpid()), "0", "0 descriptors")],
    ids=["another process", "too few"],
)
def test_a_descriptor_that_systemd_has_not_passed_to_this_process_is_refused(
    passed: int, pid: str, number: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", pid)
    monkeypatch.setenv("LISTEN_FDS", number)
    with pytest.raises(OSError, match=reason):
        bind(passed)
    os.close(passed)


def test_a_descriptor_that_is_not_open_is_refused(passed: int) -> None:
    os.close(passed)
    with pytest.raises(OSError, match="Bad file descriptor"):
        bind(passed)


def test_a_connection_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = socket.create_connection(server.getsockname()).detach()
        with pytest.raises(OSError, match="not a listening socket"):
            bind(connection)


def test_a_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match="non-socket"):
        bind(os.dup(file.fileno()))


def test_a_socket_that_other_machines_reach_needs_authentication() -> None:
    with (
        socket.create_server(("0.0.0.0", 0)) as listener,
        pytest.raises(OperatorError, match="reachable from other machines"),
    ):
        bind(os.dup(listener.fileno()))
