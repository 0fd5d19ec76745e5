"""The generations that are kept of one partition: what each serves, and what it keeps from being trimmed."""

from __future__ import annotations

import msgspec

from readside.admin.partition_status import PartitionStatus
from readside.redis_functions.keys import ACTIVE_PREFIX

IN_USE_SECONDS = 30.0
"""Seconds since the last read of a generation's group, within which a process surely works on it."""


class RetainedGeneration(msgspec.Struct, frozen=True, kw_only=True):
    generation: str
    state: str
    """serves (this version of the code), other code (it serves another), kept, or void."""
    codes: list[str]
    """The fingerprints of the versions of the code that are answered from it."""
    entries: int
    """Of the stream, which it has not acknowledged and which are therefore not trimmed."""
    idle: float | None
    """Seconds since its group was last read; None if it has none."""

    def refusal(self, *, code_is_gone: bool) -> str | None:
        """Returns why it must not be removed, and what to do; None if it may be."""
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


def kept(standing: PartitionStatus) -> list[RetainedGeneration]:
    """All generations of a partition, by age."""
    found = []
    for name, state in sorted(standing.generations.items()):
        if name.startswith(ACTIVE_PREFIX):
            continue
        codes = sorted(
            field.removeprefix(ACTIVE_PREFIX)
            for field, served in standing.generations.items()
            if field.startswith(ACTIVE_PREFIX) and served == name
        )
        group = standing.groups.get(name)
        shown = "serves" if name == standing.generation else "other code" if codes else "kept"
        found.append(
            RetainedGeneration(
                generation=name,
                state=state if state == "void" else shown,
                codes=codes,
                entries=group.entries if group else 0,
                idle=group.idle if group else None,
            )
        )
    return found
