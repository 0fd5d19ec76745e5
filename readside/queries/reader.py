"""Reads of the read model.

After the commands to a partition follows one more: which generation is active. Only if the commands went to
that generation are their replies used; so an emptied, half-built or replaced read model can never pass for
"there is no such aggregate". Only the rows of a list are read without that check, right after their ids were
read with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from uuid import UUID

import msgspec
from hiredis import ReplyError

from domain.envelope import partition_of
from readside.errors import ReadModelRebuilding, ReadModelUnavailable
from readside.queries.pubsub import ChannelSubscription, PubSub
from readside.queries.shared_calls import SharedCalls
from readside.redis_connection.cluster_connection import ReadConnection
from readside.redis_connection.encoding import pack
from readside.redis_connection.protocol import Replies
from readside.redis_functions.keys import ACTIVE_PREFIX, TANDEM, Keys, Namespace, Partition

CommandsFor = Callable[[Keys], list[bytes]]
"""Returns packed commands for the keys of a generation; called again if another generation is active."""

FindGeneration = Callable[[int], Awaitable[str | None]]
"""Returns the active generation of a partition, if every event committed before the call is applied in it."""

_MAX_ATTEMPTS = 3

_UNAVAILABLE = (
    "LOADING",
    "MASTERDOWN",
    "NOAUTH",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "BUSY",
    "READONLY",
    "OOM",
    "MISCONF",
)
"""Prefixes of errors that concern the state of Redis, and not the command."""


class PartitionPointer(msgspec.Struct):
    """The active generation of a partition, as of the last read."""

    partition: Partition
    command: bytes
    """Reads which generation is active; packed."""
    keys: Keys | None = None
    """Those of the active generation; None as long as none is known."""

    def add_commands(self, commands_for: CommandsFor, commands: list[bytes]) -> None:
        """Adds the commands of a read, and `command` after them; that alone if no generation is known."""
        if self.keys is not None:
            commands += commands_for(self.keys)
        commands.append(self.command)

    def active_keys(self) -> Keys:
        if self.keys is None:
            raise ReadModelRebuilding
        return self.keys

    def check_generation(self, keys: Keys | None, active: str | Exception | None) -> bool:
        """Returns whether the generation that was read is the active one. Raises ReadModelError."""
        if keys is not None and active == keys.generation:
            return True
        if isinstance(active, Exception):
            raise ReadModelUnavailable
        self.keys = None if active is None else Keys(self.partition, active)
        if self.keys is None:
            raise ReadModelRebuilding
        return False


async def _unknown_generation(_: int) -> None:
    """Finds no generation: the lag is not known."""


class ReadModel:
    """The read model of all partitions. Every method raises ReadModelError."""

    def __init__(
        self,
        connection: ReadConnection,
        pubsub: PubSub,
        *,
        partitions: int,
        fingerprint: str,
        version_timeout_seconds: float = 2.0,
        namespace: Namespace = TANDEM,
        generation_without_lag: FindGeneration = _unknown_generation,
    ) -> None:
        """`version_timeout_seconds`: how long a read waits for the version that it requires."""
        self.version_timeout_seconds = version_timeout_seconds
        self.generation_without_lag = generation_without_lag
        self.partitions = range(partitions)
        self.shared = SharedCalls()
        self._connection = connection
        self._pubsub = pubsub
        self._pointers = [
            PartitionPointer(
                partition, pack(("HGET", partition.generations, f"{ACTIVE_PREFIX}{fingerprint}"))
            )
            for partition in map(namespace.partition, self.partitions)
        ]

    @property
    def primary(self) -> ReadModel:
        """The read model in which everything that was applied is found, where this one reads replicas."""
        return self

    def partition_of(self, aggregate_id: UUID) -> int:
        return partition_of(aggregate_id, len(self.partitions))

    def subscribe(self, aggregate_id: UUID) -> AbstractAsyncContextManager[ChannelSubscription]:
        """Subscribes to the new versions of an aggregate."""
        partition = self._pointers[self.partition_of(aggregate_id)].partition
        return self._pubsub.subscribe(partition.changes_channel(aggregate_id))

    async def read(self, partition: int, commands_for: CommandsFor) -> Replies:
        """Returns the replies of one partition."""
        pointer = self._pointers[partition]
        for _ in range(_MAX_ATTEMPTS):
            keys = pointer.keys
            commands: list[bytes] = []
            pointer.add_commands(commands_for, commands)
            replies = await self._connection.send(commands)
            if pointer.check_generation(keys, replies.pop()):
                return _without_errors(replies)
        raise ReadModelUnavailable

    async def read_partitions(self, requests: Mapping[int, CommandsFor]) -> dict[int, Replies]:
        """Returns the replies of each of these partitions, read in one round trip."""
        results: dict[int, Replies] = {}
        for _ in range(_MAX_ATTEMPTS):
            if not requests:
                break
            requests = await self._read_once(requests, results)
        if requests:
            raise ReadModelUnavailable
        return results

    async def _read_once(
        self, requests: Mapping[int, CommandsFor], results: dict[int, Replies]
    ) -> dict[int, CommandsFor]:
        """Adds to the results; returns the requests that read a generation that is not active."""
        commands: list[bytes] = []
        sent: list[tuple[int, Keys | None, int]] = []
        for number, commands_for in requests.items():
            pointer = self._pointers[number]
            pointer.add_commands(commands_for, commands)
            sent.append((number, pointer.keys, len(commands) - 1))
        replies = await self._connection.send(commands)
        start, retries = 0, {}
        for number, keys, end in sent:
            if self._pointers[number].check_generation(keys, replies[end]):
                results[number] = _without_errors(replies[start:end])
            else:
                retries[number] = requests[number]
            start = end + 1
        return retries

    async def read_all(self, commands_for: CommandsFor) -> list[Replies]:
        """Returns the replies of every partition to the same commands."""
        results = await self.read_partitions(dict.fromkeys(self.partitions, commands_for))
        return [results[number] for number in self.partitions]

    async def active_keys(self, partitions: Collection[int]) -> dict[int, Keys]:
        """Returns the keys of the generations that were active at the last read of these partitions."""
        if unknown := [number for number in partitions if self._pointers[number].keys is None]:
            await self.read_partitions(dict.fromkeys(unknown, lambda _: []))
        return {number: self._pointers[number].active_keys() for number in partitions}

    async def read_unchecked(self, commands: list[bytes], partitions: Collection[int]) -> Replies:
        """Returns the replies to packed commands on keys that `active_keys` has just returned.

        `partitions` are those of the commands, one for each.

        Does not check which generation is active by now. A value that exists was there while the generation
        was active; one that is missing may have been removed with it, and must be read again with `read`.
        """
        return _without_errors(await self._connection.send(commands))

    async def request_resync(self, partition: int, aggregate_id: str) -> None:
        """Marks an aggregate whose keys are incomplete, for a projector to resync."""
        await self.primary.read(
            partition, lambda keys: [pack(("SADD", keys.needs_resync, aggregate_id))]
        )


def _without_errors(replies: Replies) -> Replies:
    """Returns the replies; raises the first error among them."""
    if ReplyError in map(type, replies):
        raise _translate(next(reply for reply in replies if isinstance(reply, ReplyError)))
    return replies


def _translate(error: ReplyError) -> Exception:
    if str(error).startswith(_UNAVAILABLE):
        return ReadModelUnavailable()
    # No projection writes a key of another type: the key is lost.
    return ReadModelRebuilding() if str(error).startswith("WRONGTYPE") else error
