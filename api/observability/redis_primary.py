"""What a Redis must be: the primary of one server, which forgets nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import NoPermissionError, ReadOnlyError, ResponseError

from readside.redis_connection.client import Client

if TYPE_CHECKING:
    from redis.asyncio import Redis

_DO = "let REDIS_URL lead to the primary of one server, or to an address that follows it in a failover"

REPLICA = f"Redis at REDIS_URL is a replica, which takes no writes: {_DO}."

CLUSTER = f"Redis at REDIS_URL is a node of a cluster, which is not supported yet: {_DO}."

_MODES = {
    "cluster": CLUSTER,
    "sentinel": f"REDIS_URL leads to a Sentinel, which holds no data and is not supported yet: {_DO}.",
}


_SENTENCES = ("ReadOnlyError", "ReadOnlySQLTransactionError", "Unfit")


class UnsuitableRedis(ResponseError):
    """No server that can be worked with; str() is one sentence that says what to do."""


class Seen(NamedTuple):
    """A server as it describes itself; None is what we may not ask, or what it does not say."""

    mode: str | None = None
    role: str | None = None
    run: str | None = None
    """The id of this run of the server."""
    eviction: str | None = None

    @property
    def unsupported(self) -> str | None:
        """Why a server of this mode cannot be worked with, in one sentence that says what to do."""
        return _MODES.get(self.mode or "")

    @property
    def unfit(self) -> str | None:
        """The same of any reason."""
        if self.unsupported:
            return self.unsupported
        if self.eviction not in (None, "noeviction"):
            return (
                f"Redis may evict keys of the read model (its maxmemory-policy is {self.eviction}):"
                " set maxmemory-policy to noeviction, and start again."
            )
        return None


async def seen(redis: Redis) -> Seen:
    """Raises what redis-py raises. `redis` decodes replies."""
    mode, role = await _greeted(redis)
    try:
        info: Any = {} if mode == "sentinel" else await redis.info("server", "memory")
    except NoPermissionError:
        info = {}
    return Seen(mode, role, info.get("run_id"), info.get("maxmemory_policy"))


async def _greeted(redis: Redis) -> tuple[str | None, str | None]:
    """Mode and role. Every user may ask for them, unless a proxy does not know the command."""
    try:
        said: Any = await redis.execute_command("HELLO")  # type: ignore[no-untyped-call]
    except ResponseError:
        return None, None
    told = said if isinstance(said, dict) else dict(zip(said[::2], said[1::2], strict=False))
    return told.get("mode"), told.get("role")


async def require_primary(redis: Redis) -> None:
    """Raises ReadOnlyError on a replica, which is dialled again then, and Unfit; and what redis-py raises."""
    mode, role = await _greeted(redis)
    if sentence := Seen(mode).unsupported:
        raise UnsuitableRedis(sentence)
    if role == "replica":
        if isinstance(redis, Client):
            redis.expiry.suspect()
        raise ReadOnlyError(REPLICA)


def plain(why: str) -> str | None:
    """The sentence of an error, given as `Question` tells it, if the error says which server this is."""
    name, _, sentence = why.partition(": ")
    return sentence if name in _SENTENCES else None
