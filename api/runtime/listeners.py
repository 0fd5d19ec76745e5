"""The listening sockets of a process, from HOST and PORT: on an address, a Unix socket, or inherited."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from api.operator_error import OperatorError
from api.runtime.inherited_socket import inherited_listener
from api.runtime.unix_socket import UnixListener
from api.settings import Settings

Listeners = Sequence[socket.socket]
"""The sockets of one application, which serves all of them."""

_LOOPBACK: Final = ("127.0.0.1", "::1")
"""The addresses of localhost. Browsers and other clients choose either."""

_FREE_PORT_ATTEMPTS: Final = 20
"""Attempts to find a port that is free on both loopback addresses."""


def bind_api(settings: Settings) -> Listeners:
    """Returns the sockets of the API, bound before anything is started.

    Raises OSError if they cannot be used, and OperatorError if other machines reach them without permission.
    """
    scheme, _, rest = settings.host.partition(":")
    if settings.listens_on_port:
        listeners = bind_port(settings, settings.port)
    else:
        listeners = [
            UnixListener.bind_to(rest) if scheme == "unix" else inherited_listener(int(rest))
        ]
    try:
        for listener in listeners:
            _refuse_unsafe(listener, settings)
    except OperatorError:
        close(listeners)
        raise
    return listeners


def bind_workers(settings: Settings, workers: int) -> list[Listeners]:
    """Returns the sockets of each worker. Raises as bind_api does.

    Each has its own socket on the same port, among which the kernel spreads connections; a Unix socket or an
    inherited one is the same for all.
    """
    listeners = bind_api(settings)
    if not settings.listens_on_port:
        return [listeners] * workers
    # A shared port could be shared with another program too, so it was bound without sharing first.
    addresses = [listener.getsockname() for listener in listeners]
    close(listeners)
    return [[_bound(address, shared=True) for address in addresses] for _ in range(workers)]


def bind_port(settings: Settings, port: int) -> Listeners:
    """Returns sockets that are bound without a check of who may reach them. Raises OSError.

    HOST=localhost means both loopback addresses, with the same port, if this machine has both. If HOST is not
    an address, it is 127.0.0.1.
    """
    host = settings.host if settings.listens_on_port else _LOOPBACK[0]
    if host != "localhost":
        return [_bound((host, port))]
    hosts = [address for address in _LOOPBACK if _is_available(address)] or _LOOPBACK
    for _ in range(_FREE_PORT_ATTEMPTS):
        try:
            return _bind_all(hosts, port)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise
            failure = error
    raise failure


def stop_listening(listeners: Sequence[socket.socket]) -> None:
    """Removes the files of Unix sockets of this process, while their connections in progress continue."""
    for listener in listeners:
        if isinstance(listener, UnixListener):
            listener.remove_file()


def close(listeners: Sequence[socket.socket]) -> None:
    """Closes the sockets, and removes the files of Unix sockets of this process."""
    stop_listening(listeners)
    for listener in listeners:
        listener.close()


def url_of(listener: socket.socket, settings: Settings) -> str:
    """Returns the URL for clients on this machine, without a port for those of a Unix socket."""
    if listener.family == socket.AF_UNIX:
        return "http://localhost"
    host, port = listener.getsockname()[:2]
    if settings.host == "localhost" or ip_address(host).is_unspecified:
        return f"http://localhost:{port}"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bind_all(hosts: Sequence[str], port: int) -> Listeners:
    """Returns sockets on these addresses with one port; 0 takes one that is free on the first."""
    listeners: list[socket.socket] = []
    try:
        for host in hosts:
            listeners.append(_bound((host, port)))
            port = listeners[0].getsockname()[1]
    except OSError:
        close(listeners)
        raise
    return listeners


def _is_available(host: str) -> bool:
    try:
        _bound((host, 0)).close()
    except OSError:
        return False
    return True


def _bound(address: tuple[str | int, ...], *, shared: bool = False) -> socket.socket:
    """Returns a socket on this address; one that is `shared` allows others on the same port."""
    family = socket.AF_INET6 if ":" in str(address[0]) else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _refuse_unsafe(listener: socket.socket, settings: Settings) -> None:
    """Raises OperatorError. Checks the bound address, because a name in HOST may stand for any."""
    if not settings.local_only or listener.family == socket.AF_UNIX:
        return
    if not ip_address(listener.getsockname()[0]).is_loopback:
        raise OperatorError(
            f"HOST={settings.host} is reachable from other machines, and authentication is off:"
            " set AUTH_SECRET or AUTH_JWKS_URL, or start with --allow-anonymous (ALLOW_ANONYMOUS=true)."
        )
