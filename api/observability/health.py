"""Readiness of this process: which of its parts cannot work, and why.

A process that serves clients is ready as long as it can execute commands or answer queries: taking it out of
service because one store is unavailable would also take away what the other store still allows. A stalled
loop makes every process unready, because only a restart helps; but while a store is unavailable the loops
wait for it, for as long as the drivers do, and a waiting loop cannot be distinguished from a stalled one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from api.observability import heartbeat as heartbeats
from api.observability.heartbeat import Heartbeat, most_severe
from api.observability.pipeline import Pipeline, PipelineStatus
from api.observability.problems import blocked_activations, is_full, unreachable, unserved
from api.observability.redis_primary import operator_sentence
from api.roles import Role
from readside.generations.memory_capacity import FULL

OK = "ok"

_NO_COMMANDS = "PostgreSQL does not answer, so commands are refused until it is back."
_NO_QUERIES = "Redis does not answer, so queries are refused until it is back."
_NO_PROGRESS = "{} does not answer, so no event is processed until it is back."
_BLOCKED = (
    "The loop {} is blocked on a request sent before the stores recovered {:.0f} seconds ago."
)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The body of /readyz."""

    ready: bool
    parts: dict[str, str]
    """By part: `ok`, or one sentence that says what the part cannot do and why."""


async def health(
    pipeline: Pipeline, loops: Mapping[str, Sequence[Heartbeat]], *, serves_clients: bool
) -> Health:
    """Returns the health of the parts of this process within 2 seconds. `loops` are heartbeats by role."""
    status = await pipeline.status()
    blocked = _activation_blocked(status)
    checks = {
        role: _check_loop(most_severe(of_role), status, pipeline.healthy_for_seconds)
        for role, of_role in loops.items()
    }
    parts = {role: message for role, (message, _) in checks.items()}
    if blocked and Role.PROJECTOR in parts:
        parts[Role.PROJECTOR] = blocked
    if not serves_clients:
        return Health(ready=set(parts.values()) <= {OK}, parts=parts)
    stores = {"writes": _check_commands(status), "reads": _check_queries(status)}
    stalled = any(is_stalled for _, is_stalled in checks.values())
    return Health(ready=OK in stores.values() and not stalled and not blocked, parts=stores | parts)


def _activation_blocked(status: PipelineStatus) -> str:
    """Returns why a complete read model of this code is not activated, which must stop a deploy; else ""."""
    blocked = [one.status for one in status.partitions if one.status and one.status.held]
    unserved_here = any(partition.generation is None for partition in blocked)
    return blocked_activations(status)[0].sentence if unserved_here else ""


def _check_loop(
    heartbeat: Heartbeat | None, status: PipelineStatus, healthy_for_seconds: float
) -> tuple[str, bool]:
    """Returns a message about the most severe loop of a role, and whether only a restart helps."""
    if status.postgresql_error is not None:
        return operator_sentence(status.postgresql_error) or _NO_PROGRESS.format(
            "PostgreSQL"
        ), False
    if status.redis_error is not None:
        return operator_sentence(status.redis_error) or _NO_PROGRESS.format("Redis"), False
    if is_full(status) and heartbeat is not None and not heartbeat.is_stalled:
        return FULL, False
    if heartbeat is None:
        return OK, False
    if heartbeat.is_stalled and healthy_for_seconds <= heartbeats.STALLED_SECONDS:
        return _BLOCKED.format(heartbeat.name, healthy_for_seconds), False
    return str(heartbeat.problem), heartbeat.is_stalled


def _check_commands(status: PipelineStatus) -> str:
    if status.postgresql_error is None:
        return OK
    return operator_sentence(status.postgresql_error) or _NO_COMMANDS


def _check_queries(status: PipelineStatus) -> str:
    if status.redis_error is not None:
        return operator_sentence(status.redis_error) or _NO_QUERIES
    if reason := _activation_blocked(status):
        return reason
    if lost := unreachable(status):
        return (
            f"Redis does not reply for {len(lost)} of {len(status.partitions)} partitions, so queries of"
            " their data are refused: see that their nodes run."
        )
    if missing := unserved(status):
        return (
            f"{len(missing)} of {len(status.partitions)} partitions are not served, so queries of"
            f" their data are refused: {FULL if is_full(status) else 'a running projector builds them.'}"
        )
    return OK
