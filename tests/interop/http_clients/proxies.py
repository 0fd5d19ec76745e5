"""Starts nginx and HAProxy with connections to the service that are kept and shared between their clients.

Every request that a proxy forwards carries an X-Request-Id that the proxy made and wrote into its access log,
so a request that reaches the service without one was never forwarded as a request.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.limited import limited
from tests.processes import HOST, free_port, running

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

_NGINX = """
daemon off;
master_process off;  # one process, which ends with the test
pid {place}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    log_format forwarded '$request_id $status $upstream_status "$request"';
    access_log {place}/access.log forwarded;
    client_body_temp_path {place}/client;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    scgi_temp_path {place}/scgi;
    uwsgi_temp_path {place}/uwsgi;
    client_max_body_size 100m;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream tandem {{ server {address}; keepalive 4; keepalive_timeout {idle_ms}ms; }}
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://tandem;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header X-Request-Id $request_id;
            {more}
        }}
    }}
}}
"""
_POOL = 'proxy_set_header Connection "";'
_WEBSOCKETS = (
    "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;"
)
_STREAMS = "proxy_request_buffering off;"

_HAPROXY = """
global
    log stdout format raw local0
    maxconn 1024
defaults
    mode http
    log global
    log-format "%ID %ST %B %{{+Q}}r"
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout http-request 20s
    timeout http-keep-alive 20s
    timeout tunnel 20s
frontend clients
    bind {host}:{port}
    http-request del-header X-Request-Id
    unique-id-format %[uuid]
    unique-id-header X-Request-Id
    default_backend tandem
backend tandem
    server tandem {address} pool-max-conn 4 pool-purge-delay {idle_ms}ms
"""


@dataclass(frozen=True)
class Configuration:
    """A proxy as it is often set up."""

    program: str
    template: str
    streams: bool
    """True if the proxy forwards a body while it arrives, not only once it is complete."""
    more: str = ""

    def unix_socket(self, path: Path) -> str:
        return f"unix@{path}" if self.program == "haproxy" else f"unix:{path}"

    def command(self, program: str, path: Path) -> tuple[str, ...]:
        """Returns the words that run the program in the foreground with the configuration at this path."""
        if self.program == "haproxy":
            return program, "-db", "-f", str(path)
        return program, "-p", str(path.parent), "-c", str(path), "-e", "stderr"


CONFIGURATIONS = {
    "nginx": Configuration("nginx", _NGINX, streams=False, more=_POOL),
    "nginx, unbuffered": Configuration("nginx", _NGINX, streams=True, more=_POOL + _STREAMS),
    "nginx for WebSockets": Configuration("nginx", _NGINX, streams=False, more=_WEBSOCKETS),
    "nginx for WebSockets, unbuffered": Configuration(
        "nginx", _NGINX, streams=True, more=_WEBSOCKETS + _STREAMS
    ),
    "haproxy": Configuration("haproxy", _HAPROXY, streams=True),
}


class Proxy:
    """A running proxy."""

    def __init__(self, port: int, log: Path, process: Process) -> None:
        self.port = port
        self._log = log
        self._process = process

    async def end(self) -> None:
        """Ends the process, and with it its connections, after their last byte."""
        self._process.terminate()
        await self._process.wait()

    async def until_logged(self, ids: list[str]) -> set[str]:
        """Returns the ids of the requests in the access log, once they are those or after a while.

        A request is logged when its response has been sent.
        """
        with suppress(TimeoutError):
            async with limited(5):
                while not set(ids) <= self._logged():
                    await asyncio.sleep(0.01)
        return self._logged()

    def _logged(self) -> set[str]:
        return {line.split()[0] for line in self._log.read_text().splitlines() if line}


@asynccontextmanager
async def proxied(
    configuration: Configuration,
    program: str,
    address: tuple[str, int] | Path,
    place: Path,
    *,
    idle_seconds: float = 60,
) -> AsyncIterator[Proxy]:
    """The proxy before the service at this address or Unix socket; `idle_seconds` close its connections."""
    port = free_port()
    path, said = place / "proxy.conf", place / "said.log"
    path.write_text(
        configuration.template.format(
            host=HOST,
            port=port,
            address="{}:{}".format(*address)
            if isinstance(address, tuple)
            else configuration.unix_socket(address),
            place=place,
            idle_ms=int(idle_seconds * 1000),
            more=configuration.more,
        )
    )
    async with running(*configuration.command(program, path), log=said) as process:
        await _listening(process, port, said)
        log = said if configuration.program == "haproxy" else place / "access.log"
        yield Proxy(port, log, process)


async def _listening(process: Process, port: int, said: Path) -> None:
    async with limited(10):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return
    raise AssertionError(said.read_text())
