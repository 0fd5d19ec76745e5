"""Whether this process can do its work, and which part of it cannot, and why.

A process that answers clients is ready as long as it can carry out commands or answer queries: to take it
out of service because one store is away would take away what the other one still gives. A loop that is frozen
makes any process unready, because only a restart helps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from api.watch.pipeline import Look, Pipeline
from api.watch.pulse import Pulse, worst

OK = "ok"


class Health(msgspec.Struct, frozen=True, kw_only=True):
    ready: bool
    parts: dict[str, str]
    """`ok`, or one sentence that says what the part cannot do and why."""


async def health(
    pipeline: Pipeline, pulses: Mapping[str, Sequence[Pulse]], *, answers: bool
) -> Health:
    """`pulses` by role; `answers`: whether this process answers clients. Takes 2 seconds at most."""
    loops = {role: worst(of_role) for role, of_role in pulses.items()}
    parts = {role: OK if pulse is None else str(pulse.wrong) for role, pulse in loops.items()}
    frozen = any(pulse is not None and pulse.is_frozen for pulse in loops.values())
    if not answers:
        return Health(ready=set(parts.values()) <= {OK}, parts=parts)
    sides = _sides(await pipeline.look())
    return Health(ready=OK in sides.values() and not frozen, parts=sides | parts)


def _sides(look: Look) -> dict[str, str]:
    return {
        "writes": OK
        if look.writes is None
        else "PostgreSQL does not answer, so commands are refused; they go on when it is back.",
        "reads": _reads(look),
    }


def _reads(look: Look) -> str:
    if look.reads is not None:
        return "Redis does not answer, so queries are refused; they go on when it is back."
    missing = [
        one.number for one in look.partitions if one.standing and one.standing.generation is None
    ]
    if missing:
        return (
            f"{len(missing)} of {len(look.partitions)} partitions are not served, so their users are refused:"
            " a projector that runs builds them."
        )
    return OK
