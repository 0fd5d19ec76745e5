"""Names in Redis: the one place that makes them.

Every key of a partition carries its hash tag, so that one function may touch them all.
"""

from __future__ import annotations

import re
from uuid import UUID

import msgspec

ACTIVE_PREFIX = "serving:"
"""How the fields of `generations` begin that say which generation serves; functions.lua knows it too."""


LEASE_PREFIX = "owner"
"""How the names of leases begin, where those of other keys have a generation."""

SCRATCH = "scratch"
"""How the names of scratch generations begin: no sweep removes their keys, because they expire."""


class Namespace(msgspec.Struct, frozen=True):
    """The names of one service in Redis. Services with different prefixes can share a Redis.

    Every key and every channel begins with the prefix and a colon, which no prefix contains.
    """

    prefix: str = "tandem"

    @property
    def wake(self) -> str:
        """The channel on which a command tells a relay in another process that there is news."""
        return f"{self.prefix}:wake"

    @property
    def silent(self) -> str:
        """A channel on which nothing is published."""
        return f"{self.prefix}:silent"

    @property
    def functions(self) -> str:
        """The part of the names of the library and its functions that is this service's.

        Redis allows letters, digits and underscores there, and compares functions without regard to case.
        Prefixes that differ only in what is replaced here share a library: the code in it is the same.
        """
        return re.sub("[^a-z0-9]", "_", self.prefix.lower())

    def projectors(self, fingerprint: str) -> str:
        """A sorted set: the processes that project with this code, by when they count no more.

        Also the channel on which they hear that one came or went, or gave a partition back.
        """
        return f"{self.prefix}:projectors:{fingerprint}"

    def rate(self, caller: str) -> str:
        """When a caller owes nothing any more, for the rate limit."""
        return f"{self.prefix}:rate:{caller}"

    def partition(self, number: int) -> Partition:
        return Partition(number, self)


TANDEM = Namespace()
"""The names of a service that sets no prefix."""


class Partition(msgspec.Struct, frozen=True):
    """The keys of a partition that outlive every generation."""

    number: int
    namespace: Namespace = TANDEM

    @property
    def prefix(self) -> str:
        return f"{self.namespace.prefix}:{{{self.number}}}"

    @property
    def stream(self) -> str:
        return f"{self.prefix}:stream"

    @property
    def cursor(self) -> str:
        """The relay's cursor."""
        return f"{self.prefix}:cursor"

    @property
    def erased(self) -> str:
        """The last entry of the stream that erased somebody."""
        return f"{self.prefix}:erased"

    @property
    def full(self) -> str:
        """There for a minute after a rebuild has found Redis full."""
        return f"{self.prefix}:full"

    @property
    def accepted(self) -> str:
        """The fingerprint of the code whose generations serve however many users they park."""
        return f"{self.prefix}:accepted"

    @property
    def generations(self) -> str:
        """A hash: generation -> live or void; serving:<fingerprint> -> the generation readers use."""
        return f"{self.prefix}:generations"

    def owner(self, fingerprint: str) -> str:
        """Which projector works on the partition, among those with the same projections."""
        return f"{self.prefix}:{LEASE_PREFIX}:{fingerprint}"

    def changed(self, user_id: UUID) -> str:
        """The channel that carries each new version of a user."""
        return f"{self.prefix}:changed:{user_id}"


class Keys(msgspec.Struct, frozen=True):
    """The keys of one generation of a partition; the projections' keys are made by `of`."""

    partition: Partition
    generation: str
    prefix: str = ""

    def __post_init__(self) -> None:
        prefix = f"{self.partition.prefix}:{self.generation}"
        msgspec.structs.force_setattr(self, "prefix", prefix)

    def of(self, name: str) -> str:
        """The key of something that all users of the partition share."""
        return f"{self.prefix}:{name}"

    def of_user(self, name: str, user: UUID | str) -> str:
        """The key of something that belongs to one user."""
        return f"{self.prefix}:{name}:{user}"

    def user(self, user: UUID | str) -> str:
        """The user's hash. Its field `version` is the gate's: no projection writes it."""
        return f"{self.prefix}:user:{user}"

    @property
    def everyone(self) -> str:
        """A sorted set of the ids of all users who are not erased."""
        return self.of("users")

    @property
    def lost(self) -> str:
        """A set: users of whom something is missing, until the projector has made them anew."""
        return self.of("lost")

    @property
    def parked(self) -> str:
        """A hash: user id -> why this user is set aside, as JSON."""
        return self.of("parked")

    @property
    def counters(self) -> str:
        """A hash that functions.lua keeps, to notice what is lost: also the sizes of shared keys."""
        return self.of("counters")

    def size_of(self, name: str) -> str:
        """The field of `counters` that says how many members the shared key of this name must have."""
        return f"size:{self.of(name)}"
