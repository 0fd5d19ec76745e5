"""Problems of the pipeline and what to do about them, as sentences for an operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from api.observability.pipeline import PipelineStatus
from api.observability.redis_primary import operator_sentence
from readside.admin.retained_generations import IN_USE_SECONDS
from readside.generations.activation_guard import ParkedExcess
from readside.generations.memory_capacity import FULL

Part = Literal["writes", "relay", "projector", "reads"]
"""In the order in which an event passes them."""

SLOW_SECONDS: Final = 1.0
CRITICAL_SECONDS: Final = 5.0
"""Seconds for which an event may wait at one part before it is a problem, and before it is a critical one."""

MANY_ENTRIES: Final = 10_000
"""Entries, some 5 MB, that an idle consumer group may retain in a stream before it is a problem."""

MAX_ERASURE_SECONDS: Final = 60.0
"""Seconds that an erasure may take to reach every event of the log before it is a problem."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem of one part. Its names in JSON are an interface: `status --json` prints it."""

    part: Part
    critical: bool = msgspec.field(name="grave")
    """True if processing has stopped, False if it is slow."""
    sentence: str


def problems(status: PipelineStatus) -> list[Problem]:
    """Returns all problems, those to look at first in front."""
    found = [
        *_stores(status),
        *_relay(status),
        *_erasures(status),
        *_projectors(status),
        *_parked(status),
        *_idle_groups(status),
    ]
    return sorted(found, key=lambda problem: not problem.critical)


def unserved(status: PipelineStatus) -> list[int]:
    """Returns the partitions without an active generation, except those whose activation is blocked."""
    return [
        view.number
        for view in status.partitions
        if view.status and view.status.generation is None and view.status.held is None
    ]


def unreachable(status: PipelineStatus) -> list[int]:
    """Returns the partitions on nodes of a cluster that cannot be reached, while others can."""
    views = status.partitions if status.redis_error is None else []
    return [view.number for view in views if view.status is None]


def is_full(status: PipelineStatus) -> bool:
    """Returns whether Redis has no memory left for what the projectors write."""
    return any(view.status is not None and view.status.full for view in status.partitions)


def blocked_activations(status: PipelineStatus) -> list[ParkedExcess]:
    """Returns the largest excess that blocks the activation of a complete generation, if there is one."""
    excesses = [view.status.held for view in status.partitions if view.status and view.status.held]
    return sorted(excesses, key=lambda excess: excess.more)[-1:]


def _stores(status: PipelineStatus) -> Iterator[Problem]:
    if status.postgresql_error is not None:
        sentence = _unavailable("PostgreSQL", status.postgresql_error, "commands", "DATABASE_URL")
        yield Problem(part="writes", critical=True, sentence=sentence)
    if status.redis_error is not None:
        sentence = _unavailable("Redis", status.redis_error, "queries", "REDIS_URL")
        yield Problem(part="reads", critical=True, sentence=sentence)
    if is_full(status):
        yield Problem(part="projector", critical=True, sentence=FULL)
    for excess in blocked_activations(status):
        yield Problem(part="reads", critical=True, sentence=excess.sentence)
    if missing := unserved(status):
        subject = (
            f"Partition {missing[0]} is" if len(missing) == 1 else f"{len(missing)} partitions are"
        )
        sentence = f"{subject} not served: see that a relay and a projector run."
        yield Problem(part="reads", critical=True, sentence=sentence)
    if lost := unreachable(status):
        numbers = ", ".join(map(str, lost))
        sentence = f"Redis does not reply for the partitions {numbers}: see that their nodes run."
        yield Problem(part="reads", critical=True, sentence=sentence)


def _unavailable(store: str, error: str, refused: str, setting: str) -> str:
    return operator_sentence(error) or (
        f"{store} does not answer ({error}), so {refused} are refused: see that it runs and that {setting}"
        " leads to it."
    )


def _relay(status: PipelineStatus) -> Iterator[Problem]:
    backlogs = [(view.backlog, view.number) for view in status.partitions if view.backlog]
    waits = [(log.oldest, number) for log, number in backlogs if log.oldest is not None]
    sentence = "Partition {number} has waited {seconds:.0f} s for a relay: see that one runs."
    return _longest_wait("relay", waits, sentence)


def _erasures(status: PipelineStatus) -> Iterator[Problem]:
    """A long history takes a while; an erasure that takes longer than that has stopped."""
    if status.upkeep is None or status.upkeep.erasures.oldest < MAX_ERASURE_SECONDS:
        return
    pending = status.upkeep.erasures
    sentence = (
        f"The log still holds personal data in up to {pending.events:,} events of erased aggregates"
        f" ({pending.aggregates}), the first since {pending.oldest:.0f} s: see that a relay runs."
    )
    yield Problem(part="relay", critical=False, sentence=sentence)


def _projectors(status: PipelineStatus) -> Iterator[Problem]:
    lags = [
        (view.status.lag, view.number)
        for view in status.partitions
        if view.status and view.status.lag is not None
    ]
    sentence = "Partition {number} is {seconds:.0f} s behind: see that a projector runs."
    return _longest_wait("projector", lags, sentence)


def _longest_wait(part: Part, waits: list[tuple[float, int]], sentence: str) -> Iterator[Problem]:
    seconds, number = max(waits, default=(0.0, 0))
    if seconds > SLOW_SECONDS:
        yield Problem(
            part=part,
            critical=seconds > CRITICAL_SECONDS,
            sentence=sentence.format(number=number, seconds=seconds),
        )


def _parked(status: PipelineStatus) -> Iterator[Problem]:
    number = sum(view.status.parked for view in status.partitions if view.status)
    if number:
        sentence = f"Aggregates are parked ({number}): see `tandem parked list`."
        yield Problem(part="projector", critical=True, sentence=sentence)


def _idle_groups(status: PipelineStatus) -> Iterator[Problem]:
    """Consumer groups that retain entries. They are removed automatically, but only after ten minutes."""
    groups = [
        (group.entries, name, view.number, group.idle)
        for view in status.partitions
        if view.status
        for name, group in view.status.kept_back.items()
        if group.entries >= MANY_ENTRIES and (group.idle is None or group.idle > IN_USE_SECONDS)
    ]
    if groups:
        entries, name, number, idle = max(groups)
        read = "has never read it" if idle is None else f"has not read it for {idle:.0f} s"
        yield Problem(
            part="projector",
            critical=False,
            sentence=f"{name} keeps {entries} entries in the stream of partition {number} and {read}: see"
            " `tandem generations list`; `tandem generations remove` frees them.",
        )
