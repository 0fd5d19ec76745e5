"""The drivers, each with the time limits that fit what it is used for. Nobody else builds one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from api.operator_error import OperatorError
from readside.redis_connection.client import Client, MultiplexedConnections, TimedConnectionPool
from readside.redis_connection.connection import MultiplexedConnection
from readside.redis_connection.connection_expiry import ConnectionExpiry
from readside.redis_connection.protocol import Server

if TYPE_CHECKING:
    from api.auth.jwks import Fetch
    from api.settings import Settings


CONNECTION_MAX_AGE_SECONDS = 300.0
"""Seconds after which a connection to a store is replaced, because the address may lead elsewhere by then."""

_CLOSE_TIMEOUT_SECONDS = 3.0
"""Seconds that PostgreSQL has for its goodbye."""


_FETCH_TIMEOUT_SECONDS = 5.0
"""Seconds that the issuer of tokens has to tell its keys."""

_MAX_KEY_SET_BYTES = 256 * 1024
"""Bytes of them."""


_CONNECT_TIMEOUT_SECONDS = 5.0
"""Seconds that Redis has for what relays, projectors and whoever watches ask."""

_MOST = 1000
"""Commands that may be under way on one of their links: more than ever are."""

_COUNTING = 0.25
"""Seconds that Redis has to say whether a caller has asked for too much."""


class _Connection(asyncpg.Connection):
    """A connection of the pool. Nobody changes its session, so giving it back needs no round trip."""

    def get_reset_query(self) -> str:
        return ""


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """A pool that connects when first used, so that a PostgreSQL that is away does not stop the start."""
    pool = await asyncpg.create_pool(
        settings.database_url,
        connection_class=_Connection,
        min_size=0,
        max_size=settings.database_connections,
        timeout=settings.command_timeout,
        command_timeout=settings.command_timeout,
        target_session_attrs=SessionAttribute.read_write,  # a standby's snapshots leave out what is running
        server_settings={
            "application_name": "tandem",
            "statement_timeout": f"{settings.command_timeout * 1000:.0f}",
            "idle_in_transaction_session_timeout": "60s",
            "jit": "off",
        },
    )
    aging = asyncio.create_task(_expire_by_age(pool), name="max age")
    try:
        yield pool
    finally:
        aging.cancel()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                await pool.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # a timeout is an OSError
            pool.terminate()


def connection_max_age() -> float:
    """Returns a random half to all of the maximum age, so that processes reconnect at different times."""
    return CONNECTION_MAX_AGE_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311


async def _expire_by_age(pool: asyncpg.Pool) -> None:
    while True:
        await asyncio.sleep(connection_max_age())
        await pool.expire_connections()


async def connected(settings: Settings, seconds: float) -> asyncpg.Connection:
    """One connection to the primary, made within so many seconds. Raises what asyncpg raises."""
    return await asyncpg.connect(
        settings.database_url, timeout=seconds, target_session_attrs=SessionAttribute.read_write
    )


def link_for_reads(
    settings: Settings, expiry: ConnectionExpiry | None = None
) -> MultiplexedConnection:
    """To be entered with `async with`; connects when somebody reads."""
    return MultiplexedConnection(
        _server(settings, "tandem-reads"),
        timeout_seconds=settings.read_timeout,
        max_in_flight=settings.limits.reads,
        expiry=expiry,
    )


def _password(settings: Settings) -> str | None:
    """The password of REDIS_PASSWORD. redis-py prefers the one in the URL, where there is one."""
    password = settings.redis_password
    return None if password is None else password.get_secret_value()


def _server(settings: Settings, name: str) -> Server:
    """Where the URL leads, as redis-py means it: it reads the URL, and makes the TLS context."""
    pool: Any = ConnectionPool.from_url(
        settings.redis_url or "", password=_password(settings), protocol=2
    )
    try:
        told = pool.make_connection()  # which connects to nothing yet
    except (
        TypeError
    ) as error:  # which quotes the name of a parameter, or what of a password passes for one
        raise OperatorError("REDIS_URL has a parameter that is unknown; remove it.") from error
    tls = getattr(told, "ssl_context", None)
    return Server(
        host=getattr(told, "host", ""),
        port=int(getattr(told, "port", 0)),
        path=getattr(told, "path", ""),
        tls=None if tls is None else tls.get(),
        username=told.username,
        password=told.password,
        database=int(told.db),
        client_name=told.client_name or name,
    )


@asynccontextmanager
async def redis_for_functions(
    settings: Settings, expiry: ConnectionExpiry | None = None
) -> AsyncIterator[Redis]:
    """No retry: what a lost reply means is decided by whoever called."""
    async with _linked(settings, settings.partitions + 3, "tandem-functions", expiry) as redis:
        yield redis


@asynccontextmanager
async def redis_for_streams(
    settings: Settings, expiry: ConnectionExpiry | None = None
) -> AsyncIterator[Redis]:
    """A link for each partition, that may wait in a read for longer than it blocks."""
    async with _linked(settings, 2, "tandem-streams", expiry) as redis:
        yield redis


@asynccontextmanager
async def redis_for_cursors(
    settings: Settings, expiry: ConnectionExpiry | None = None
) -> AsyncIterator[Redis]:
    """For the relay, which reads its cursors as bytes. No retry."""
    async with _linked(settings, 2, "tandem-cursors", expiry, decode=False) as redis:
        yield redis


@asynccontextmanager
async def redis_for_rates(
    settings: Settings, expiry: ConnectionExpiry | None = None
) -> AsyncIterator[Redis]:
    """Nobody waits long for it, because every request does. No retry, which might count twice."""
    async with _redis(settings, 4, _COUNTING, expiry) as redis:
        yield redis


@asynccontextmanager
async def redis_for_watching(
    settings: Settings, expiry: ConnectionExpiry | None = None
) -> AsyncIterator[Redis]:
    """For a look at the pipeline now and then, which waits less than this. No retry."""
    async with _redis(settings, 2, _CONNECT_TIMEOUT_SECONDS, expiry) as redis:
        yield redis


@asynccontextmanager
async def redis_for_one_look(settings: Settings) -> AsyncIterator[Redis]:
    """For one look at whatever the address leads to now."""
    async with _redis(settings, 1, settings.read_timeout, None) as redis:
        yield redis


@asynccontextmanager
async def redis_for_changes(
    settings: Settings, expiry: ConnectionExpiry | None = None
) -> AsyncIterator[Redis]:
    """For listening, which may be silent for ever."""
    async with _redis(settings, 2, None, expiry) as redis:
        yield redis


@asynccontextmanager
async def _linked(
    settings: Settings,
    connections: int,
    name: str,
    expiry: ConnectionExpiry | None,
    *,
    decode: bool = True,
) -> AsyncIterator[Client]:
    """A client that asks what it asks often on links of this name, and all else on connections. No retry."""
    server = _server(settings, name)
    async with _redis(
        settings, connections, _CONNECT_TIMEOUT_SECONDS, expiry, decode=decode
    ) as redis:
        links = MultiplexedConnections(
            lambda: MultiplexedConnection(
                server,
                timeout_seconds=_CONNECT_TIMEOUT_SECONDS,
                max_in_flight=_MOST,
                retry_once=False,
                expiry=redis.expiry,
            )
        )
        redis.multiplexed = links
        try:
            yield redis
        finally:
            await links.close()


@asynccontextmanager
async def _redis(
    settings: Settings,
    connections: int,
    patience: float | None,
    expiry: ConnectionExpiry | None,
    *,
    decode: bool = True,
) -> AsyncIterator[Client]:
    pool = TimedConnectionPool.from_url(
        settings.redis_url or "",
        password=_password(settings),
        max_connections=connections,
        timeout=settings.read_timeout,
        socket_timeout=None,
        socket_connect_timeout=settings.read_timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        decode_responses=decode,
        encoding_errors="replace",
        health_check_interval=0,
    )
    pool.expiry = expiry or ConnectionExpiry()
    redis = Client(connection_pool=pool)
    redis.timeout_seconds = patience
    try:
        yield redis
    finally:
        await redis.aclose()
        await pool.disconnect()


@asynccontextmanager
async def issuer(url: str) -> AsyncIterator[Fetch]:
    """What fetches the keys that tokens are checked with; it raises whatever keeps it from that."""
    import httpx  # here, because most processes ask nobody for keys and need not load it

    async def fetch() -> bytes:
        body = b""
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with (
            asyncio.timeout(_FETCH_TIMEOUT_SECONDS),
            client.stream("GET", url, headers=headers) as response,
        ):
            response.raise_for_status()  # a redirection too
            async for part in response.aiter_raw():
                body += part
                if len(body) > _MAX_KEY_SET_BYTES:
                    raise ValueError("The key set is too long.")
        return body

    async with httpx.AsyncClient(follow_redirects=False) as client:
        yield fetch
