"""Checks Redis: version, eviction, persistence, memory, permissions, and the read models in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from api.cli.checks import redis_channels, redis_memory, redis_streams
from api.cli.checks.finding import Finding, clock, hint, ok, unless_denied, wrong
from api.observability.redis_primary import read_server_info
from api.roles import namespace, read_model_fingerprint
from api.server_urls import reason
from readside.admin.partition_status import partition_statuses
from readside.redis_functions.functions import Functions

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from api.settings import Settings

MIN_VERSION = (7, 2)


async def check(redis: Redis, settings: Settings) -> list[Finding]:
    """Checks in order of dependency, and ends at what makes the rest meaningless."""
    names = namespace(settings)
    read = f"allow it +@read on ~{names.prefix}:*"
    subscribe = f"allow it +subscribe &{names.prefix}:*"
    try:
        if sentence := (await read_server_info(redis)).unsupported_mode:
            return [wrong("Redis", sentence)]
        server = await unless_denied("Redis", "allow it +info", _server(redis))
        return [
            *server,
            *await unless_denied("Redis's clock", "allow it +time", _clock(redis)),
            *await unless_denied("channels", subscribe, redis_channels.check(redis, names)),
            *await _functions(redis, settings),
            *await unless_denied(
                "streams", read, redis_streams.check(redis, settings.partitions, names)
            ),
        ]
    except (RedisError, OSError) as error:
        return [wrong("Redis", f"It cannot be used ({reason(error)}); check REDIS_URL.")]


async def _server(redis: Redis) -> list[Finding]:
    info: dict[str, Any] = await redis.info()
    return [
        _version(info),
        _eviction(info),
        redis_memory.check(info),
        await _persistence(redis, info),
    ]


def _version(info: dict[str, Any]) -> Finding:
    name, compatible = info.get("server_name", "redis"), str(info["redis_version"])
    text = f"{name} {info.get('valkey_version', compatible)}"
    if tuple(map(int, compatible.split(".")[:2])) < MIN_VERSION:
        return wrong("Redis", f"{text} is too old; use Redis or Valkey 7.2 or newer.")
    if info.get("role") != "master":
        return wrong("Redis", f"{text} is a replica; let REDIS_URL lead to the primary.")
    return ok("Redis", text)


def _eviction(info: dict[str, Any]) -> Finding:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        return wrong(
            "eviction",
            f"maxmemory-policy is {policy}, so keys may vanish; set maxmemory-policy to noeviction.",
        )
    return ok("eviction", "none")


async def _persistence(redis: Redis, info: dict[str, Any]) -> Finding:
    if info.get("aof_enabled"):
        return ok("persistence", "append-only file")
    if await _snapshots(redis):
        return ok("persistence", "snapshots; changes since the last one are rebuilt after a crash")
    return hint(
        "persistence",
        "Redis persists nothing: after its restart the read model is rebuilt, and queries fail with"
        " READ_MODEL_REBUILDING meanwhile; set appendonly yes to avoid that.",
    )


async def _snapshots(redis: Redis) -> bool:
    try:
        config: Any = await redis.config_get("save")
    except ResponseError:  # this user may not run CONFIG
        return False
    return bool(config.get("save"))


async def _clock(redis: Redis) -> list[Finding]:
    seconds, microseconds = await redis.time()
    return [clock("Redis's clock", datetime.fromtimestamp(seconds + microseconds / 1_000_000, UTC))]


async def _functions(redis: Redis, settings: Settings) -> list[Finding]:
    try:
        functions = Functions(redis, namespace(settings))
        await functions.load()
    except ResponseError as error:
        return [
            wrong(
                "functions",
                f"FUNCTION LOAD is refused ({error}); allow this user the commands function, fcall"
                f" and all on keys that begin with {settings.redis_prefix}:.",
            )
        ]
    read = f"allow it +@read on ~{settings.redis_prefix}:*"
    return [
        ok("functions", f"{functions.library} is loaded"),
        *await unless_denied("read model", read, _read_models(redis, settings)),
    ]


async def _read_models(redis: Redis, settings: Settings) -> list[Finding]:
    number = settings.partitions
    statuses = await partition_statuses(
        redis, number, read_model_fingerprint(settings), namespace(settings)
    )
    held = [status.held for status in statuses if status.held]
    # Without its group, whose backlog is `behind`, a generation is incomplete.
    served = sum(status.generation is not None and status.behind is not None for status in statuses)
    if held:
        return [wrong("read model", max(held, key=lambda excess: excess.more).sentence)]
    if served < number:
        says = (
            f"{number - served} of {number} partitions are not served; they are built as soon as"
            " `tandem relay` and `tandem projector` (or serve) run."
        )
        return [hint("read model", says)]
    return [ok("read model", f"all {number} partitions are served")]
