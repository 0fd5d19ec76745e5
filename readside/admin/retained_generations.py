"""The retained generations of a partition: who uses each, and how many stream entries it retains."""

from __future__ import annotations

import msgspec

from readside.admin.partition_status import PartitionStatus
from readside.redis_functions.keys import ACTIVE_PREFIX

IN_USE_SECONDS = 30.0
"""Seconds since the last read of a generation's group within which a process counts as using it."""


class RetainedGeneration(msgspec.Struct, frozen=True, kw_only=True):
    """A generation that has not been removed yet."""

    generation: str
    state: str
    """serves (active for this version of the code), other code (active for another), kept, or void."""
    codes: list[str]
    """The fingerprints of the versions of the code for which it is active."""
    entries: int
    """Entries of the stream that it has not acknowledged, so that they are not trimmed."""
    idle: float | None
    """Seconds since its group was last read; None if it has none."""

    def refusal(self, *, code_is_gone: bool) -> str | None:
        """Returns why it must not be removed, and what to do; None if it may be removed."""
        if self.state == "serves":
            return f"{self.generation} serves this code; `tandem rebuild` replaces it."
        if self.idle is not None and self.idle < IN_USE_SECONDS:
            return (
                f"{self.generation} was read {self.idle:.0f} s ago: stop the projectors of its code, wait"
                f" {IN_USE_SECONDS:.0f} s and try again."
            )
        if self.codes and not code_is_gone:
            return (
                f"{self.generation} serves code with the fingerprint {', '.join(self.codes)}: if no process"
                " of that code runs any more, add --code-is-gone."
            )
        return None


def retained_generations(status: PartitionStatus) -> list[RetainedGeneration]:
    """Returns all generations of a partition, oldest first."""
    generations = []
    for name, state in sorted(status.generations.items()):
        if name.startswith(ACTIVE_PREFIX):
            continue
        codes = sorted(
            field.removeprefix(ACTIVE_PREFIX)
            for field, active in status.generations.items()
            if field.startswith(ACTIVE_PREFIX) and active == name
        )
        group = status.groups.get(name)
        usage = "serves" if name == status.generation else "other code" if codes else "kept"
        generations.append(
            RetainedGeneration(
                generation=name,
                state=state if state == "void" else usage,
                codes=codes,
                entries=group.entries if group else 0,
                idle=group.idle if group else None,
            )
        )
    return generations
