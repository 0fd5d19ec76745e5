"""The two sides of a comparison: the generation that serves a partition, and scratch generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from readside.event_source import EventSource
from readside.projection import Projection
from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Keys
from readside.verify.scratch_generation import ScratchGeneration
from readside.verify.slices import KeyComparison
from readside.verify.snapshot import SnapshotReader

if TYPE_CHECKING:
    from redis.asyncio import Redis


class ComparedGenerations:
    """What every step of a comparison needs."""

    def __init__(
        self,
        redis: Redis,
        history: EventSource,
        keys: Keys,
        projections: Sequence[Projection],
        fingerprint: str,
    ) -> None:
        """`keys` are those of the generation that serves; `redis` decodes replies."""
        self.redis = redis
        self.history = history
        self.keys = keys
        self.functions = Functions(redis, keys.partition.namespace)
        self.looks = SnapshotReader(self.functions, keys, fingerprint)
        self._projections = projections

    def scratch(self) -> ScratchGeneration:
        """Returns a new, empty scratch generation."""
        return ScratchGeneration(self.redis, self.history, self.keys.partition, self._projections)

    def slices(self, scratch: ScratchGeneration) -> KeyComparison:
        """Returns what compares a scratch generation with the one that serves."""
        return KeyComparison(self.functions, self.keys, scratch)
