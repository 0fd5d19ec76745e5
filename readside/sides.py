"""The two sides of a comparison: the generation that serves a partition, and scratch generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from readside.functions import Functions
from readside.gate import Project
from readside.history import History
from readside.keys import Keys
from readside.look import Looks
from readside.scratch import Scratch
from readside.slices import Slices

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Sides:
    """What every step of a comparison needs."""

    def __init__(
        self,
        redis: Redis,
        history: History,
        keys: Keys,
        projections: Sequence[Project],
        fingerprint: str,
    ) -> None:
        """`keys` are those of the generation that serves; `redis` decodes replies."""
        self.redis = redis
        self.history = history
        self.keys = keys
        self.functions = Functions(redis, keys.partition.namespace)
        self.looks = Looks(self.functions, keys, fingerprint)
        self._projections = projections

    def scratch(self) -> Scratch:
        """Returns a new, empty scratch generation."""
        return Scratch(self.redis, self.history, self.keys.partition, self._projections)

    def slices(self, scratch: Scratch) -> Slices:
        """Returns what compares a scratch generation with the one that serves."""
        return Slices(self.functions, self.keys, scratch)
