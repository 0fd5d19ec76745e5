"""Requirements on the Redis at REDIS_URL: the primary of one server, without eviction of keys."""

from __future__ import annotations

from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ReadOnlyError, ResponseError

from readside.redis_connection.client import Client
from readside.redis_connection.cluster_client import ClusterClient

_ADVICE = "let REDIS_URL lead to the primary of one server, or to an address that follows it in a failover"

REPLICA = f"Redis at REDIS_URL is a replica, which takes no writes: {_ADVICE}."

CLUSTER = "Redis at REDIS_URL is a node of a cluster: let REDIS_URL end with /?cluster=true."

_UNSUPPORTED_MODES = {
    "cluster": CLUSTER,
    "sentinel": f"REDIS_URL leads to a Sentinel, which holds no data and is not supported yet: {_ADVICE}.",
}


class UnsuitableRedis(ResponseError):
    """A Redis that Tandem cannot use; str() is one sentence that says what to do."""


_ERRORS_FOR_OPERATORS = (
    ReadOnlyError.__name__,
    "ReadOnlySQLTransactionError",
    UnsuitableRedis.__name__,
)
"""Errors whose message is one sentence that says what to do."""


class RedisServerInfo(NamedTuple):
    """The description that a server gives of itself; None where it gives none, or permits no request."""

    mode: str | None = None
    role: str | None = None
    run_id: str | None = None
    """Changes at each start of the server."""
    eviction: str | None = None

    @property
    def unsupported_mode(self) -> str | None:
        """One sentence that says why this mode is unsupported and what to do, None if it is supported."""
        return _UNSUPPORTED_MODES.get(self.mode or "")

    @property
    def unsuitable(self) -> str | None:
        """One sentence that says why this server cannot be used and what to do, None if it can."""
        if self.unsupported_mode:
            return self.unsupported_mode
        if self.eviction not in (None, "noeviction"):
            return (
                f"Redis may evict keys of the read model (its maxmemory-policy is {self.eviction}):"
                " set maxmemory-policy to noeviction, and start again."
            )
        return None


async def read_server_info(redis: Redis) -> RedisServerInfo:
    """Asks the server for its description. Raises what redis-py raises. `redis` decodes replies."""
    mode, role = await _mode_and_role(redis)
    try:
        info: Any = {} if mode == "sentinel" else await redis.info("server", "memory")
    except NoPermissionError:
        info = {}
    if isinstance(redis, ClusterClient):  # each connection leads to one node as long as it exists
        return RedisServerInfo(mode, role, None, info.get("maxmemory_policy"))
    return RedisServerInfo(mode, role, info.get("run_id"), info.get("maxmemory_policy"))


async def _mode_and_role(redis: Redis) -> tuple[str | None, str | None]:
    """Sends HELLO, which every user may send, unless a proxy does not know the command."""
    try:
        reply: Any = await redis.execute_command("HELLO")  # type: ignore[no-untyped-call]
    except ResponseError:
        return None, None
    if isinstance(redis, ClusterClient):
        return None, "master"  # its commands go to primaries
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=False))
    return fields.get("mode"), fields.get("role")


async def require_primary(redis: Redis) -> None:
    """Raises ReadOnlyError on a replica, UnsuitableRedis in an unsupported mode, and what redis-py raises.

    A replica also makes the client check whether its address leads to another server by now.
    """
    mode, role = await _mode_and_role(redis)
    if sentence := RedisServerInfo(mode).unsupported_mode:
        raise UnsuitableRedis(sentence)
    if role == "replica":
        if isinstance(redis, Client):
            redis.expiry.suspect()
        raise ReadOnlyError(REPLICA)


def operator_sentence(error: str) -> str | None:
    """Returns the sentence that says what to do, if an error reported by `Probe` has one."""
    name, _, sentence = error.partition(": ")
    return sentence if name in _ERRORS_FOR_OPERATORS else None
