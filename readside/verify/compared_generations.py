"""The two sides of a comparison: the active generation of a partition, and scratch generations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from readside.event_source import EventSource
from readside.projection import Projections
from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Keys
from readside.verify.key_comparison import KeyComparison
from readside.verify.scratch_generation import ScratchGeneration
from readside.verify.snapshot import SnapshotReader

if TYPE_CHECKING:
    from redis.asyncio import Redis


class ComparedGenerations:
    """What every step of a comparison needs."""

    def __init__(
        self,
        redis: Redis,
        event_source: EventSource,
        keys: Keys,
        projections: Projections,
        fingerprint: str,
    ) -> None:
        """`keys` are those of the active generation; `redis` decodes replies."""
        self.redis = redis
        self.event_source = event_source
        self.keys = keys
        self.functions = Functions(redis, keys.partition.namespace)
        self.snapshots = SnapshotReader(self.functions, keys, fingerprint)
        self._projections = projections

    def new_scratch(self) -> ScratchGeneration:
        """Returns an empty scratch generation."""
        return ScratchGeneration(
            self.redis, self.event_source, self.keys.partition, self._projections
        )

    def comparison(self, scratch: ScratchGeneration) -> KeyComparison:
        """Returns the comparison of a scratch generation with the active one."""
        return KeyComparison(self.functions, self.keys, scratch)
