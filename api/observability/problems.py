"""What is wrong with the pipeline, by one look at it, and what to do: for people, on a page or a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from api.observability.pipeline import PipelineStatus
from api.observability.redis_primary import plain
from readside.admin.retained_generations import IN_USE_SECONDS
from readside.generations.activation_guard import ParkedExcess
from readside.generations.memory_capacity import FULL

Part = Literal["writes", "relay", "projector", "reads"]
"""In the order in which an event passes them."""

SLOW_SECONDS: Final = 1.0
CRITICAL_SECONDS: Final = 5.0
"""Seconds that an event may wait at one place before somebody should look."""

MANY_ENTRIES: Final = 10_000
"""Entries that a group which nothing reads may keep in a stream, some 5 MB, before somebody should look."""


UNFINISHED: Final = 60.0
"""Seconds that an erasure may take to reach every event of the log before somebody should look."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    part: Part
    grave: bool
    """Whether something stands still, rather than being slow."""
    sentence: str


def problems(look: PipelineStatus) -> list[Problem]:
    """The first of them is where to look first."""
    found = [
        *_stores(look),
        *_relay(look),
        *_erasures(look),
        *_projectors(look),
        *_set_aside(look),
        *_kept_back(look),
    ]
    return sorted(found, key=lambda problem: not problem.grave)


def unserved(look: PipelineStatus) -> list[int]:
    """The partitions that no query is answered from, though nothing is held."""
    return [
        one.number
        for one in look.partitions
        if one.standing and one.standing.generation is None and one.standing.held is None
    ]


def is_full(look: PipelineStatus) -> bool:
    """Returns whether Redis has no room for what the projectors write."""
    return any(one.standing is not None and one.standing.full for one in look.partitions)


def held(look: PipelineStatus) -> list[ParkedExcess]:
    """Why complete generations do not serve: the greatest excess, or nothing."""
    found = [one.standing.held for one in look.partitions if one.standing and one.standing.held]
    return sorted(found, key=lambda excess: excess.more)[-1:]


def _stores(look: PipelineStatus) -> Iterator[Problem]:
    if look.writes is not None:
        sentence = _away("PostgreSQL", look.writes, "commands", "DATABASE_URL")
        yield Problem(part="writes", grave=True, sentence=sentence)
    if look.reads is not None:
        sentence = _away("Redis", look.reads, "queries", "REDIS_URL")
        yield Problem(part="reads", grave=True, sentence=sentence)
    if is_full(look):
        yield Problem(part="projector", grave=True, sentence=FULL)
    for excess in held(look):
        yield Problem(part="reads", grave=True, sentence=excess.sentence)
    if missing := unserved(look):
        sentence = f"{_named(missing)} not served: see that a relay and a projector run."
        yield Problem(part="reads", grave=True, sentence=sentence)


def _away(store: str, why: str, refused: str, setting: str) -> str:
    if sentence := plain(why):
        return sentence
    do = f"see that it runs and that {setting} leads there"
    return f"{store} does not answer ({why}), so {refused} are refused: {do}."


def _relay(look: PipelineStatus) -> Iterator[Problem]:
    logs = [(one.backlog, one.number) for one in look.partitions if one.backlog]
    waits = [(log.oldest, number) for log, number in logs if log.oldest is not None]
    says = "Partition {number} has waited {seconds:.0f} s for a relay: see that one runs."
    return _longest("relay", waits, says)


def _erasures(look: PipelineStatus) -> Iterator[Problem]:
    """A long history takes a while; what is left for longer than that is not being worked on."""
    if look.upkeep is None or look.upkeep.erasures.oldest < UNFINISHED:
        return
    left = look.upkeep.erasures
    sentence = (
        f"The log still holds personal data in up to {left.events:,} events of erased users ({left.users}),"
        f" the first since {left.oldest:.0f} s: see that a relay runs."
    )
    yield Problem(part="relay", grave=False, sentence=sentence)


def _projectors(look: PipelineStatus) -> Iterator[Problem]:
    models = [(one.standing, one.number) for one in look.partitions if one.standing]
    lags = [(model.lag, number) for model, number in models if model.lag is not None]
    says = "Partition {number} is {seconds:.0f} s behind: see that a projector runs."
    return _longest("projector", lags, says)


def _kept_back(look: PipelineStatus) -> Iterator[Problem]:
    """What is removed by itself, but only after ten minutes."""
    held = [
        (group.entries, name, one.number, group.idle)
        for one in look.partitions
        if one.standing
        for name, group in one.standing.kept_back.items()
        if group.entries >= MANY_ENTRIES and (group.idle is None or group.idle > IN_USE_SECONDS)
    ]
    if held:
        entries, name, number, idle = max(held)
        read = "has never read it" if idle is None else f"has not read it for {idle:.0f} s"
        yield Problem(
            part="projector",
            grave=False,
            sentence=f"{name} keeps {entries} entries in the stream of partition {number} and {read}: see"
            " `tandem generations list`; `tandem generations remove` frees them.",
        )


def _longest(part: Part, waits: list[tuple[float, int]], says: str) -> Iterator[Problem]:
    """The partition that waits longest, if that is too long."""
    seconds, number = max(waits, default=(0.0, 0))
    if seconds > SLOW_SECONDS:
        sentence = says.format(number=number, seconds=seconds)
        yield Problem(part=part, grave=seconds > CRITICAL_SECONDS, sentence=sentence)


def _set_aside(look: PipelineStatus) -> Iterator[Problem]:
    parked = sum(one.standing.parked for one in look.partitions if one.standing)
    if parked:
        sentence = f"Users are set aside ({parked}): see `tandem parked list`."
        yield Problem(part="projector", grave=True, sentence=sentence)


def _named(numbers: list[int]) -> str:
    return f"Partition {numbers[0]} is" if len(numbers) == 1 else f"{len(numbers)} partitions are"
