"""HOST=localhost means both loopback addresses, and each kind of listening socket has a URL that works."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest

from api.runtime import listeners
from api.runtime.listeners import bind_api, bind_port, bind_workers, close, url_of
from api.settings import Settings

BOTH = ["127.0.0.1", "::1"]


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")


def localhost(port: int = 0, **settings: Any) -> Settings:
    return Settings(host="localhost", port=port, **settings)


@needs_ipv6
def test_localhost_is_both_loopback_addresses_with_the_same_port() -> None:
    bound = bind_api(localhost())
    names = [listener.getsockname()[:2] for listener in bound]
    close(bound)
    assert [host for host, _ in names] == BOTH
    assert names[0][1] == names[1][1] > 0


@needs_ipv6
def test_each_worker_and_the_health_port_listen_on_both_too() -> None:
    for bound in (*bind_workers(localhost(), 3), bind_port(localhost(), 0)):
        assert [listener.getsockname()[0] for listener in bound] == BOTH
        close(bound)


@needs_ipv6
@pytest.mark.parametrize("taken", BOTH)
def test_a_port_that_another_server_has_on_one_of_the_addresses_is_taken(taken: str) -> None:
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET
    with socket.create_server((taken, 0), family=family) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            bind_api(localhost(port))
    close(bind_api(localhost(port)))  # nothing of the attempt is left


@needs_ipv6
def test_a_free_port_is_one_that_is_free_on_both(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        taken = other.getsockname()[1]
        bind, first = listeners._bound, [taken]  # noqa: SLF001 (the port that the kernel would choose)

        def chosen(address: Any, **options: Any) -> socket.socket:
            if address == ("127.0.0.1", 0) and first and len(tried) > 1:
                address = ("127.0.0.1", first.pop())
            tried.append(address)
            return bind(address, **options)

        tried: list[Any] = []
        monkeypatch.setattr(listeners, "_bound", chosen)
        bound = bind_api(localhost())
        assert ("::1", taken) in tried
        assert {listener.getsockname()[1] for listener in bound}.isdisjoint({taken, 0})
        close(bound)


def test_without_ipv6_localhost_is_the_other_address(monkeypatch: pytest.MonkeyPatch) -> None:
    bind = listeners._bound  # noqa: SLF001 (a machine without ::1)

    def bound_without(address: Any, **options: Any) -> socket.socket:
        if address[0] == "::1":
            raise OSError(99, "Cannot assign requested address")
        return bind(address, **options)

    monkeypatch.setattr(listeners, "_bound", bound_without)
    [listener] = bind_api(localhost())
    with closing(listener):
        assert listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:{}"),
        ("localhost", "http://localhost:{}"),
        ("0.0.0.0", "http://localhost:{}"),
        pytest.param("::1", "http://[::1]:{}", marks=needs_ipv6),
        pytest.param("::", "http://localhost:{}", marks=needs_ipv6),
    ],
)
def test_the_link_is_one_that_a_client_can_open(host: str, shown: str) -> None:
    settings = Settings(host=host, port=0, allow_anonymous=True)
    bound = bind_api(settings)
    assert url_of(bound[0], settings) == shown.format(bound[0].getsockname()[1])
    close(bound)


@pytest.mark.parametrize(
    "host", ["unix:", "unix:relative", "unix:/" + "a" * 107, "fd:", "fd:a", "fd:-1", "fd:3 "]
)
def test_a_host_that_is_no_socket_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"absolute|number"):
        Settings(host=host)


@pytest.mark.parametrize("host", ["fd::1", "fd00::1", "unix.example.com"])
def test_an_address_that_looks_like_one_is_an_address(host: str) -> None:
    assert Settings(host=host).listens_on_port
