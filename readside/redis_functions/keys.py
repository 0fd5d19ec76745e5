"""The names of all keys and channels in Redis.

Every key of a partition carries its hash tag, so that one function may access them all, and Redis Cluster
keeps them on one node.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from functools import cache
from itertools import count
from typing import Final
from uuid import UUID

import msgspec

ACTIVE_PREFIX = "serving:"
"""Prefix of the fields of `generations` that point to the active generation; functions.lua has it too."""

LEASE_PREFIX = "owner"
"""First part of the names of leases, where other keys have a generation."""

SCRATCH = "scratch"
"""Prefix of the names of scratch generations. Their keys expire, so they are never removed as orphans."""


_SLOTS: Final = 16_384
_GOLDEN_RATIO: Final = 0.6180339887498949
_FIRST_SLOT: Final = 0.1
"""As a fraction of all slots. It spreads up to 64 partitions evenly over up to 6 nodes, one more at most."""


@cache
def _spread_tag(number: int) -> str:
    """Returns the hash tag of a partition in a cluster. The slots of any number of tags are spread evenly.

    The tag is the first `number.n` whose slot is near the one wanted. It is a part of stored names.
    """
    wanted = int(_SLOTS * ((_FIRST_SLOT + number * _GOLDEN_RATIO) % 1))
    tags = (f"{number}.{n}" for n in count())
    return next(tag for tag in tags if abs(crc_hqx(tag.encode(), 0) % _SLOTS - wanted) <= 64)


class Namespace(msgspec.Struct, frozen=True):
    """The names of one service in Redis. Services with different prefixes can share a Redis.

    Every key and every channel begins with the prefix and a colon, which no prefix contains.
    """

    prefix: str = "tandem"
    spread: bool = False
    """Whether the partitions have hash tags that spread them evenly over the nodes of a cluster."""

    @property
    def wake_channel(self) -> str:
        """The channel on which commands wake a relay in another process."""
        return f"{self.prefix}:wake"

    @property
    def silent_channel(self) -> str:
        """A channel on which nothing is published."""
        return f"{self.prefix}:silent"

    @property
    def library_prefix(self) -> str:
        """The service's part of the names of the library and its functions.

        Redis allows letters, digits and underscores there, and ignores the case of functions. Prefixes that
        differ only in the replaced characters share a library, whose code is the same.
        """
        return re.sub("[^a-z0-9]", "_", self.prefix.lower())

    def projectors(self, fingerprint: str) -> str:
        """Sorted set of projector processes, scored by the time at which their membership expires.

        Also the channel that announces new and leaving processes, and released partitions.
        """
        return f"{self.prefix}:projectors:{fingerprint}"

    def rate_limit(self, caller: str) -> str:
        """The time at which the caller's rate limit is fully restored."""
        return f"{self.prefix}:rate:{caller}"

    def stream_token(self, digest: str) -> str:
        """The caller of a stream token, until it is used or expires."""
        return f"{self.prefix}:stream-token:{digest}"

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
        tag = _spread_tag(self.number) if self.namespace.spread else self.number
        return f"{self.namespace.prefix}:{{{tag}}}"

    @property
    def stream(self) -> str:
        return f"{self.prefix}:stream"

    @property
    def cursor(self) -> str:
        """The relay's cursor."""
        return f"{self.prefix}:cursor"

    @property
    def last_erasure(self) -> str:
        """The id of the last stream entry that ends an aggregate."""
        return f"{self.prefix}:erased"

    @property
    def redis_full(self) -> str:
        """Exists for a minute after a rebuild failed because Redis was full."""
        return f"{self.prefix}:full"

    @property
    def accepted_fingerprint(self) -> str:
        """The fingerprint whose generations are activated however many aggregates they park."""
        return f"{self.prefix}:accepted"

    @property
    def generations(self) -> str:
        """A hash: generation -> live or void; serving:<fingerprint> -> the active generation."""
        return f"{self.prefix}:generations"

    def lease(self, fingerprint: str) -> str:
        """The projector that works on the partition, among those with this fingerprint."""
        return f"{self.prefix}:{LEASE_PREFIX}:{fingerprint}"

    def changes_channel(self, aggregate_id: UUID) -> str:
        """The channel that carries each new version of an aggregate."""
        return f"{self.prefix}:changed:{aggregate_id}"


class Keys(msgspec.Struct, frozen=True):
    """The keys of one generation of a partition."""

    partition: Partition
    generation: str
    prefix: str = ""

    def __post_init__(self) -> None:
        prefix = f"{self.partition.prefix}:{self.generation}"
        msgspec.structs.force_setattr(self, "prefix", prefix)

    def shared_key(self, name: str) -> str:
        """Returns the key of data that all aggregates of the partition share."""
        return f"{self.prefix}:{name}"

    def owned_key(self, name: str, aggregate_id: UUID | str) -> str:
        """Returns the key of data that belongs to one aggregate."""
        return f"{self.prefix}:{name}:{aggregate_id}"

    def document(self, aggregate: str, aggregate_id: UUID | str) -> str:
        """Returns the key of an aggregate's hash. The version gate owns its fields `version` and `until`."""
        return f"{self.prefix}:{aggregate}:{aggregate_id}"

    def index(self, plural: str) -> str:
        """Returns the key of a sorted set: the ids of all aggregates of a kind that are not erased."""
        return self.shared_key(plural)

    @property
    def needs_resync(self) -> str:
        """A set of aggregates whose keys are incomplete, until the projector has resynced them."""
        return self.shared_key("lost")

    def held(self, aggregate_id: UUID | str) -> str:
        """Returns the key of a hash: the REINDEX commands that functions.lua holds for a hidden aggregate.

        Its fields are JSON: [command, index, reverse, member].
        """
        return f"{self.needs_resync}:{aggregate_id}"

    @property
    def parked(self) -> str:
        """A hash: aggregate id -> why it is parked, as JSON."""
        return self.shared_key("parked")

    @property
    def counters(self) -> str:
        """A hash that functions.lua keeps to detect losses; functions.lua lists its fields."""
        return self.shared_key("counters")

    def size_field(self, name: str) -> str:
        """Returns the field of `counters` that has the number of members of a shared key."""
        return f"size:{self.shared_key(name)}"
