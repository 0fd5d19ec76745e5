"""Whether this process can do its work, and which part of it cannot, and why.

A process that answers clients is ready as long as it can carry out commands or answer queries: to take it
out of service because one store is away would take away what the other one still gives. A loop that is
frozen makes any process unready, because only a restart helps; but while a store is away the loops wait for
it, for as long as the drivers do, and nobody can tell the one from the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from api.observability import heartbeat as pulses
from api.observability.heartbeat import Heartbeat, worst
from api.observability.pipeline import Pipeline, PipelineStatus
from api.observability.problems import held, is_full, unserved
from api.observability.redis_primary import plain
from api.roles import Role
from readside.generations.memory_capacity import FULL

OK = "ok"

_NO_WRITES = "PostgreSQL does not answer, so commands are refused; they go on when it is back."
_NO_READS = "Redis does not answer, so queries are refused; they go on when it is back."
_NO_PROGRESS = "{} does not answer, so nothing is carried on; it goes on when it is back."
_LATE = "The loop {} still waits for what it asked before its stores came back {:.0f} seconds ago."


class Health(msgspec.Struct, frozen=True, kw_only=True):
    ready: bool
    parts: dict[str, str]
    """`ok`, or one sentence that says what the part cannot do and why."""


async def health(
    pipeline: Pipeline, pulses: Mapping[str, Sequence[Heartbeat]], *, answers: bool
) -> Health:
    """`pulses` by role; `answers`: whether this process answers clients. Takes less than 2 seconds."""
    look = await pipeline.look()
    brake = _held(look)
    loops = {role: _loop(worst(of_role), look, pipeline.sound) for role, of_role in pulses.items()}
    parts = {role: said for role, (said, _) in loops.items()}
    if brake and Role.PROJECTOR in parts:
        parts[Role.PROJECTOR] = brake
    if not answers:
        return Health(ready=set(parts.values()) <= {OK}, parts=parts)
    sides = _sides(look)
    frozen = any(is_frozen for _, is_frozen in loops.values())
    return Health(ready=OK in sides.values() and not frozen and not brake, parts=sides | parts)


def _held(look: PipelineStatus) -> str:
    """Why the read model of this code does not serve though it is complete: a deploy must not go on."""
    waits = [one.standing for one in look.partitions if one.standing and one.standing.held]
    stands = any(standing.generation is None for standing in waits)
    return held(look)[0].sentence if stands else ""


def _loop(pulse: Heartbeat | None, look: PipelineStatus, sound: float) -> tuple[str, bool]:
    """What a role's worst loop says, and whether only a restart helps; `sound` is Pipeline's."""
    if look.writes is not None:
        return plain(look.writes) or _NO_PROGRESS.format("PostgreSQL"), False
    if look.reads is not None:
        return plain(look.reads) or _NO_PROGRESS.format("Redis"), False
    if is_full(look) and pulse is not None and not pulse.is_frozen:
        return FULL, False
    if pulse is None:
        return OK, False
    if pulse.is_frozen and sound <= pulses.STALLED_SECONDS:
        return _LATE.format(pulse.name, sound), False
    return str(pulse.wrong), pulse.is_frozen


def _sides(look: PipelineStatus) -> dict[str, str]:
    writes = OK if look.writes is None else plain(look.writes) or _NO_WRITES
    return {"writes": writes, "reads": _reads(look)}


def _reads(look: PipelineStatus) -> str:
    if look.reads is not None:
        return plain(look.reads) or _NO_READS
    if why := _held(look):
        return why
    if missing := unserved(look):
        return (
            f"{len(missing)} of {len(look.partitions)} partitions are not served, so their users are refused:"
            f" {FULL if is_full(look) else 'a projector that runs builds them.'}"
        )
    return OK
