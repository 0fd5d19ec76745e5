"""Checks Redis: version, eviction, persistence, memory, permissions, and the read models in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from api.cli.checks import redis_streams
from api.cli.checks.finding import LEVELS, Finding, clock, hint, ok, unless_denied, wrong
from api.observability.redis_primary import read_server_info
from api.roles import namespace, read_model_fingerprint
from api.server_urls import reason
from api.settings import Settings
from readside.admin.partition_status import partition_statuses
from readside.generations.memory_capacity import FULL, is_full
from readside.redis_connection.cluster_client import ClusterClient
from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Namespace

MIN_VERSION = (7, 2)

_SUBSCRIBE_TIMEOUT_SECONDS = 2.0
"""Time limit for the reply to a subscription."""


async def check(redis: Redis, settings: Settings) -> list[Finding]:
    """Checks in order of dependency, and ends at what makes the rest meaningless."""
    names = namespace(settings)
    read = f"allow it +@read on ~{names.prefix}:*"
    subscribe = f"allow it +subscribe &{names.prefix}:*"
    try:
        if sentence := (await read_server_info(redis)).unsupported_mode:
            return [wrong("Redis", sentence)]
        nodes = await _nodes(redis, settings)
        return [
            *nodes,
            *await unless_denied("channels", subscribe, _channels(redis, names)),
            *await _functions(redis, settings),
            *await unless_denied(
                "streams", read, redis_streams.check(redis, settings.partitions, names)
            ),
        ]
    except (RedisError, OSError) as error:
        return [wrong("Redis", f"It cannot be used ({reason(error)}); check REDIS_URL.")]


async def _nodes(redis: Redis, settings: Settings) -> list[Finding]:
    """Checks the server; of a cluster every primary, and returns the worst finding of each kind."""
    if not isinstance(redis, ClusterClient):
        return await _node(redis)
    worst: dict[str, Finding] = {}
    primaries = await redis.primaries()
    for primary in primaries:
        try:
            findings = [*await _node(primary), *await _coverage(primary)]
        except (Disconnected, OSError) as error:
            findings = [
                wrong("Redis", f"A primary of the cluster does not reply ({reason(error)}).")
            ]
        for finding in findings:
            known = worst.get(finding.what, finding)
            worst[finding.what] = max(known, finding, key=lambda one: LEVELS.index(one.level))
    tags = [namespace(settings).partition(number).cursor for number in range(settings.partitions)]
    share = redis.keys_by_primary(tags)
    return [*worst.values(), _cluster(share, -(-len(tags) // len(primaries)))]


async def _coverage(primary: Redis) -> list[Finding]:
    try:
        config: Any = await primary.config_get("cluster-require-full-coverage")
    except ResponseError:  # this user may not run CONFIG
        return []
    if config.get("cluster-require-full-coverage", "no") == "no":
        return []
    says = "cluster-require-full-coverage is yes, so one lost range of slots stops all partitions"
    return [wrong("cluster coverage", f"{says}; set it to no on every node.")]


def _cluster(share: Sequence[int], fair_share: int) -> Finding:
    """Returns whether the partitions are spread evenly; `share` is the number of each primary."""
    text = f"{len(share)} primaries have {', '.join(map(str, share))} partitions"
    if max(share) > fair_share + 1:
        return hint("cluster", f"The {text}; move slots, so that none has more than {fair_share}.")
    return ok("cluster", text)


async def _node(redis: Redis) -> list[Finding]:
    return [
        *await unless_denied("Redis", "allow it +info", _server(redis)),
        *await unless_denied("Redis's clock", "allow it +time", _clock(redis)),
    ]


async def _server(redis: Redis) -> list[Finding]:
    info: dict[str, Any] = await redis.info()
    return [
        _version(info),
        _eviction(info),
        _memory(info),
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


def _memory(info: dict[str, Any]) -> Finding:
    limit, used = int(info.get("maxmemory", 0)), int(info["used_memory"])
    if is_full(info):
        return wrong("memory", FULL)
    data = int(info.get("used_memory_dataset", used))
    if limit and used + data > limit:
        return hint(
            "memory",
            f"Redis uses {_mb(used)} of maxmemory {_mb(limit)}, and a rebuild needs room for a second read"
            f" model; set maxmemory to {_mb(2 * used)} or more.",
        )
    return ok(
        "memory", f"{_mb(used)} of {_mb(limit)}" if limit else f"{_mb(used)}, without a limit"
    )


def _mb(size_bytes: int) -> str:
    return f"{-(-size_bytes // 1_000_000)}mb"


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


async def _channels(redis: Redis, names: Namespace) -> list[Finding]:
    """Checks that this user may subscribe to the channels that wake relays and readers."""
    one_by_pattern = {
        names.silent_channel: names.silent_channel,
        names.wake_channel: names.wake_channel,
        names.projectors("*"): names.projectors("doctor"),
        f"{names.prefix}:{{*}}:changed:*": names.partition(0).changes_channel(UUID(int=0)),
    }
    channels = one_by_pattern.items()
    denied = [pattern for pattern, channel in channels if await _is_denied(redis, channel)]
    if not denied:
        return [ok("channels", "this user may subscribe")]
    missing = " ".join(f"&{pattern}" for pattern in denied)
    return [
        hint(
            "channels",
            f"This user of Redis may not subscribe to {missing}, so relays, readers and projectors wait for"
            f" their next poll; allow it &{names.prefix}:* (acl setuser NAME &{names.prefix}:*) and the"
            " commands subscribe and publish.",
        )
    ]


async def _is_denied(redis: Redis, channel: str) -> bool:
    async with redis.pubsub() as pubsub:
        try:
            await pubsub.subscribe(channel)
            await pubsub.get_message(timeout=_SUBSCRIBE_TIMEOUT_SECONDS)
        except NoPermissionError:
            return True
    return False


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
    if None in statuses:
        lost = [partition for partition, status in enumerate(statuses) if status is None]
        return [wrong("read model", f"Redis does not reply for the partitions {lost}.")]
    held = [status.held for status in statuses if status and status.held]
    # Without its group, whose backlog is `behind`, a generation is incomplete.
    served = sum(
        status is not None and status.generation is not None and status.behind is not None
        for status in statuses
    )
    if held:
        return [wrong("read model", max(held, key=lambda excess: excess.more).sentence)]
    if served < number:
        says = (
            f"{number - served} of {number} partitions are not served; they are built as soon as"
            " `tandem relay` and `tandem projector` (or serve) run."
        )
        return [hint("read model", says)]
    return [ok("read model", f"all {number} partitions are served")]
