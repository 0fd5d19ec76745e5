"""Builds all connections of a process, each with the timeouts and retries that fit its use."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import msgspec
from asyncpg.connect_utils import SessionAttribute
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo

from api.operator_error import OperatorError
from api.postgres_url import urls_of_hosts
from api.redis_url import cluster_nodes, url_of_node
from domain.connection_pool import CONNECTION_ERRORS, NOT_PRIMARY, refuse_read_only
from readside.redis_connection.client import Client, MultiplexedConnections, TimedConnectionPool
from readside.redis_connection.cluster import Node, SlotMap, server_at
from readside.redis_connection.cluster_client import ClusterClient
from readside.redis_connection.cluster_connection import ClusterConnection, ReadConnection
from readside.redis_connection.connection import MultiplexedConnection
from readside.redis_connection.connection_expiry import ConnectionExpiry
from readside.redis_connection.protocol import Server
from readside.redis_connection.replicas import ReplicaConnections

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    from api.auth.jwks import Fetch
    from api.settings import Settings

CONNECTION_MAX_AGE_SECONDS = 300.0
"""Age at which a connection to a store is replaced, because the address may lead elsewhere by then."""

_CLOSE_TIMEOUT_SECONDS = 3.0
"""Time limit of closing the connections to PostgreSQL in an orderly way."""

_HOST_TIMEOUT_SECONDS = 2.0
"""Time limit of connecting to one of several hosts of DATABASE_URL."""

_NEXT_HOST_ERRORS = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    *NOT_PRIMARY,
)
"""Errors of a host after which the next one is tried; OSError includes TimeoutError."""

_FETCH_TIMEOUT_SECONDS = 5.0
"""Time limit of fetching the key set of the issuer of tokens."""

_MAX_KEY_SET_BYTES = 256 * 1024

_REQUEST_TIMEOUT_SECONDS = 5.0
"""Time limit of a Redis request of relay, projector or monitoring."""

_MAX_IN_FLIGHT = 1000
"""Requests in flight on one multiplexed connection of relay or projector: more than there ever are."""

_RATE_LIMIT_TIMEOUT_SECONDS = 0.25
"""Time limit of checking the rate limit of a caller."""

_REPLICA_TIMEOUT_SECONDS = 0.25
"""Time limit of a read from a replica, after which the primary is read."""

_NODE_STATUS_SECONDS = 0.5
"""Time limit of one node's status, so that a node that hangs leaves time to report that of the others."""

_NO_PATIENCE = 0.0
"""For commands to several partitions: one whose keys are being moved must not delay the others."""

_DRIVER_INFO = DriverInfo()
"""Name and version of redis-py; without it, every connection reads the installed metadata: 1.3 ms of CPU."""

RedisClient: TypeAlias = AbstractAsyncContextManager[Client]
Expiry: TypeAlias = ConnectionExpiry | None
"""Replaces connections before their next use; without it, they are never replaced."""


class _Connection(asyncpg.Connection):
    """A connection of the pool. No user of it changes its session, so a release needs no round trip."""

    def get_reset_query(self) -> str:
        return ""


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """Yields a pool that connects on first use, so that a start does not need PostgreSQL.

    Acquiring from it raises ReadOnlySQLTransactionError, and expires all connections, if the server has
    reported itself read-only on the connection meanwhile.
    """

    async def check(connection: PoolConnectionProxy) -> None:
        try:
            refuse_read_only(connection)
        except asyncpg.ReadOnlySQLTransactionError:
            await pool.expire_connections()
            raise

    pool = await asyncpg.create_pool(
        settings.database_url,
        connect=_connector(settings),
        connection_class=_Connection,
        setup=check,
        min_size=0,
        max_size=settings.database_connections,
        timeout=settings.command_timeout,
        command_timeout=settings.command_timeout,
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
        except CONNECTION_ERRORS:
            pool.terminate()


def connection_max_age() -> float:
    """Returns a random half to all of the maximum age, so that processes reconnect at different times."""
    return CONNECTION_MAX_AGE_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311


async def _expire_by_age(pool: asyncpg.Pool) -> None:
    while True:
        await asyncio.sleep(connection_max_age())
        await pool.expire_connections()


async def connect_to_primary(settings: Settings, timeout_seconds: float) -> asyncpg.Connection:
    """Returns one connection outside any pool. Raises what asyncpg raises."""
    return await _connector(settings)(timeout=timeout_seconds)


def _connector(settings: Settings) -> Callable[..., Coroutine[Any, Any, asyncpg.Connection]]:
    """Returns a function that connects to the host that accepts writes, and raises what asyncpg raises.

    It begins with the host that was used last. asyncpg also tries several hosts, but its time limit is for
    all of them together: a host that does not reply would leave no time for the others.
    """
    urls = deque(urls_of_hosts(settings.database_url or ""))

    async def connect(*_: object, **arguments: Any) -> asyncpg.Connection:
        if len(urls) > 1:
            arguments["timeout"] = min(arguments["timeout"], _HOST_TIMEOUT_SECONDS)
        failure: Exception | None = None
        for url in tuple(urls):
            try:
                return await asyncpg.connect(
                    url,
                    # snapshots of a standby omit running transactions
                    target_session_attrs=SessionAttribute.read_write,
                    **arguments,
                )
            except BaseException as error:  # cancelled too, by a caller with a shorter time limit
                if urls[0] == url:
                    urls.rotate(-1)
                if not isinstance(error, _NEXT_HOST_ERRORS):
                    raise
                if failure is None or not isinstance(error, NOT_PRIMARY):
                    failure = error
        assert failure is not None
        raise failure

    return connect


def connection_for_reads(
    settings: Settings, expiry: Expiry = None
) -> AbstractAsyncContextManager[ReadConnection]:
    """Returns the connection of queries, an async context manager that connects at the first query."""
    server = _server(settings, "tandem-reads")

    def connect(server: Server) -> MultiplexedConnection:
        return MultiplexedConnection(
            server,
            timeout_seconds=settings.read_timeout,
            max_in_flight=settings.limits.reads,
            expiry=expiry,
        )

    if not settings.has_cluster:
        return connect(server)
    return ClusterConnection(
        _slots(settings, settings.read_timeout),
        lambda node: connect(server_at(server, node)),
        timeout_seconds=settings.read_timeout,
    )


def replica_connections(settings: Settings) -> ReplicaConnections:
    """Returns the connections to the replicas of READ_REPLICAS, an async context manager."""
    in_cluster = settings.has_cluster
    server = _server(settings, "tandem-replicas", None if in_cluster else settings.read_replicas)
    server = msgspec.structs.replace(server, read_only=in_cluster)

    def connect(node: Node | None, expiry: ConnectionExpiry) -> MultiplexedConnection:
        return MultiplexedConnection(
            server_at(server, node) if node else server,
            timeout_seconds=min(settings.read_timeout, _REPLICA_TIMEOUT_SECONDS),
            max_in_flight=settings.limits.reads,
            expiry=expiry,
        )

    return ReplicaConnections(
        connect, _slots(settings, settings.read_timeout) if in_cluster else None
    )


def _slots(settings: Settings, timeout_seconds: float) -> SlotMap:
    """Returns the slots of the cluster at REDIS_URL, each client its own: they are read when first used."""
    nodes = cluster_nodes(settings.redis_url or "")
    return SlotMap(_server(settings, "tandem-slots"), nodes, timeout_seconds)


def _password(settings: Settings) -> str | None:
    """Returns the password of REDIS_PASSWORD. redis-py prefers the one in the URL, if there is one."""
    password = settings.redis_password
    return None if password is None else password.get_secret_value()


def _server(settings: Settings, name: str, other_url: str | None = None) -> Server:
    """Returns the address and credentials in REDIS_URL, or in another URL of one server.

    redis-py parses it and makes the TLS context.
    """
    url = other_url or settings.redis_url or ""
    if settings.has_cluster:  # the address of a node takes the place of this one
        url = url_of_node(url, cluster_nodes(url)[0])
    pool: Any = ConnectionPool.from_url(
        url, password=_password(settings), protocol=2, driver_info=_DRIVER_INFO
    )
    try:
        connection = pool.make_connection()  # not connected
    except TypeError as error:  # it quotes the name of a parameter, which may be part of a password
        setting = "READ_REPLICAS" if other_url else "REDIS_URL"
        raise OperatorError(f"{setting} has a parameter that is unknown; remove it.") from error
    tls = getattr(connection, "ssl_context", None)
    return Server(
        host=getattr(connection, "host", ""),
        port=int(getattr(connection, "port", 0)),
        path=getattr(connection, "path", ""),
        tls=None if tls is None else tls.get(),
        username=connection.username,
        password=connection.password,
        database=int(connection.db),
        client_name=connection.client_name or name,
    )


def redis_for_functions(settings: Settings, expiry: Expiry = None) -> RedisClient:
    """Returns a client without retries: the caller decides what a lost reply means."""
    return _multiplexed(settings, settings.partitions + 3, "tandem-functions", expiry)


def redis_for_streams(settings: Settings, expiry: Expiry = None) -> RedisClient:
    """Returns a client with a connection per partition, whose reads may block."""
    return _multiplexed(settings, 2, "tandem-streams", expiry)


def redis_for_relay(settings: Settings, expiry: Expiry = None) -> RedisClient:
    """Returns a client without retries, which does not decode replies: a cursor is bytes."""
    return _multiplexed(
        settings, 2, "tandem-cursors", expiry, decode=False, patience_seconds=_NO_PATIENCE
    )


def redis_for_rate_limits(settings: Settings, expiry: Expiry = None) -> RedisClient:
    """Returns a client with a short timeout, because requests wait for it. A retry could count twice.

    It also keeps stream tokens, of which a retry could use one up.
    """
    return _redis(
        settings,
        4,
        _RATE_LIMIT_TIMEOUT_SECONDS,
        expiry,
        patience_seconds=_RATE_LIMIT_TIMEOUT_SECONDS,
    )


def redis_for_monitoring(settings: Settings, expiry: Expiry = None) -> RedisClient:
    """Returns a client for occasional status queries, without retries."""
    limit = _NODE_STATUS_SECONDS if settings.has_cluster else _REQUEST_TIMEOUT_SECONDS
    return _redis(settings, 2, limit, expiry, patience_seconds=_NO_PATIENCE)


def redis_for_address_check(settings: Settings) -> RedisClient:
    """Returns a client with one new connection to the server that the address leads to now."""
    return _redis(settings, 1, settings.read_timeout, None)


def redis_for_pubsub(settings: Settings, expiry: Expiry = None) -> RedisClient:
    """Returns a client without a read timeout: a channel may be silent indefinitely."""
    return _redis(settings, 2, None, expiry)


def _multiplexed(
    settings: Settings,
    connections: int,
    name: str,
    expiry: Expiry,
    *,
    decode: bool = True,
    patience_seconds: float = _REQUEST_TIMEOUT_SECONDS,
) -> RedisClient:
    """Returns a client that sends frequent commands on multiplexed connections, all others on its pool."""

    def multiplex(client: Client, server: Server) -> None:
        client.multiplexed = MultiplexedConnections(
            lambda: MultiplexedConnection(
                server,
                timeout_seconds=_REQUEST_TIMEOUT_SECONDS,
                max_in_flight=_MAX_IN_FLIGHT,
                retry_once=False,
                expiry=client.expiry,
            )
        )

    server = _server(settings, name)
    return _redis(
        settings,
        connections,
        _REQUEST_TIMEOUT_SECONDS,
        expiry,
        decode=decode,
        patience_seconds=patience_seconds,
        prepare=lambda client, node: multiplex(client, server_at(server, node) if node else server),
    )


@asynccontextmanager
async def _redis(
    settings: Settings,
    connections: int,
    timeout_seconds: float | None,
    expiry: Expiry,
    *,
    decode: bool = True,
    patience_seconds: float = _REQUEST_TIMEOUT_SECONDS,
    prepare: Callable[[Client, Node | None], None] = lambda *_: None,
) -> AsyncIterator[Client]:
    """Yields a client that never retries; `timeout_seconds` limits a request.

    In a cluster that is a client of all nodes, and `prepare` is called with the one of each node.
    `patience_seconds` limits how long a request is repeated while its keys are being moved.
    """
    url, shared_expiry = settings.redis_url or "", expiry or ConnectionExpiry()

    def connect(node: Node | None = None) -> Client:
        pool = TimedConnectionPool.from_url(
            url if node is None else url_of_node(url, node),
            password=_password(settings),
            max_connections=connections,
            timeout=settings.read_timeout,
            socket_timeout=None,
            socket_connect_timeout=settings.read_timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=_DRIVER_INFO,
            decode_responses=decode,
            encoding_errors="replace",
            health_check_interval=0,
        )
        pool.expiry = shared_expiry
        client = Client(connection_pool=pool)
        client.timeout_seconds = timeout_seconds
        prepare(client, node)
        return client

    if settings.has_cluster:
        limit = min(timeout_seconds or settings.read_timeout, settings.read_timeout)
        slots = _slots(settings, limit)
        client: Client = ClusterClient(slots, connect, patience_seconds=patience_seconds)
    else:
        client = connect()
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def issuer(url: str) -> AsyncIterator[Fetch]:
    """Yields a function that fetches the key set of a token issuer and raises any error of the request."""
    import httpx  # not imported at the top: most processes fetch no keys

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
