"""Reads from replicas that never go back: not behind what this process has read, so not within a connection.

What a replica has applied only grows while one connection leads to it. So a replica is read once it is found
at the position of the partition that was last read from the primary, or a later one, and until a read of the
primary has a later one. That is found out next to the reads, which use the primary until then. Each partition
is read from the primary once a second too: a replica that is further behind is not used.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Final

import msgspec
from hiredis import ReplyError

from readside.errors import ReadModelOverloaded, ReadModelUnavailable
from readside.queries.reader import CommandsFor, ReadModel
from readside.queries.shared_calls import SharedCalls
from readside.redis_connection.connection import MultiplexedConnection
from readside.redis_connection.encoding import CommandTemplate
from readside.redis_connection.protocol import Replies
from readside.redis_connection.replicas import ReplicaConnections
from readside.redis_functions.keys import Keys

_MAX_STALENESS_SECONDS: Final = 1.0
"""How long a replica is read before it is compared with the primary again."""

_LAG_SECONDS: Final = 0.005
"""Time after which a replica that was behind is compared again."""

_FAILURE_SECONDS: Final = 1.0
"""The same of a replica that does not reply, or refuses to."""

_READ_POSITION: Final = CommandTemplate("HMGET", "applied", "taken")
"""Reads what grows with each event that is applied and each entry that is acknowledged."""


class _CurrentReplica(msgspec.Struct, eq=False):
    """A replica that has what this process has read of a partition."""

    connection: MultiplexedConnection
    connect_count: int
    """A later connection may lead to another replica."""
    keys: Keys
    position: int
    expires_at: float
    """By time.monotonic."""


class _Progress(msgspec.Struct):
    """How far a partition was read from the primary."""

    keys: Keys | None = None
    position: int = 0
    """The highest of this generation."""
    replica: _CurrentReplica | None = None
    is_comparing: bool = False
    compare_at: float = 0.0
    """By time.monotonic; no replica is compared before."""


class ReplicaReadModel(ReadModel):
    """The read model on replicas, and on the primary where no replica is current."""

    def __init__(self, replicas: ReplicaConnections, *parts: Any, **options: Any) -> None:
        """All others are those of ReadModel, on a connection to the primary."""
        super().__init__(*parts, **options)
        self._replicas = replicas
        self._progress = [_Progress() for _ in self.partitions]
        self._primary = _PrimaryReadModel(self)

    @property
    def primary(self) -> ReadModel:
        return self._primary

    async def read(self, partition: int, commands_for: CommandsFor) -> Replies:
        if (replica := self._current(partition)) is not None:
            try:
                replies = await self._send(replica, partition, commands_for)
            except ReadModelUnavailable:
                replies = []
            if self._is_usable(partition, replica, replies):
                return replies
        return await self._primary.read(partition, commands_for)

    async def read_partitions(self, requests: Mapping[int, CommandsFor]) -> dict[int, Replies]:
        sent = {
            number: (replica, self._send(replica, number, commands_for))
            for number, commands_for in requests.items()
            if (replica := self._current(number)) is not None
        }
        found = await asyncio.gather(*(reply for _, reply in sent.values()), return_exceptions=True)
        results: dict[int, Replies] = {}
        for (number, (replica, _)), reply in zip(sent.items(), found, strict=True):
            replies = [] if isinstance(reply, BaseException) else reply
            if self._is_usable(number, replica, replies):
                results[number] = replies
        if rest := {number: requests[number] for number in requests if number not in results}:
            results |= await self._primary.read_partitions(rest)
        return results

    async def read_unchecked(self, commands: list[bytes], partitions: Collection[int]) -> Replies:
        sent = defaultdict(list)
        for command, number in zip(commands, partitions, strict=True):
            sent[number].append(command)
        found = await self.read_partitions({number: _always(own) for number, own in sent.items()})
        replies = {number: iter(own) for number, own in found.items()}
        return [next(replies[number]) for number in partitions]

    def on_primary_read(self, number: int, keys: Keys, position: int) -> None:
        """Notes how far a partition was read, and has a replica compared with that."""
        progress = self._progress[number]
        if keys is not self._pointers[number].keys:
            return  # another generation was read meanwhile
        if keys is not progress.keys:
            progress.keys, progress.position = keys, 0
        progress.position = max(progress.position, position)
        replica = progress.replica
        if replica and (replica.keys is not keys or replica.position < progress.position):
            progress.replica = None
        if self._current(number) is None:
            self._compare(number, progress, keys)

    def _current(self, number: int) -> _CurrentReplica | None:
        replica = self._progress[number].replica
        return replica if replica is not None and self._may_answer(number, replica) else None

    def _may_answer(self, number: int, replica: _CurrentReplica) -> bool:
        """Returns whether it is still to be read: it has not expired, and its generation is the one known."""
        return replica.keys is self._pointers[number].keys and monotonic() < replica.expires_at

    def _send(
        self, replica: _CurrentReplica, number: int, commands_for: CommandsFor
    ) -> asyncio.Future[Replies]:
        commands = [
            *commands_for(replica.keys),
            _READ_POSITION.pack(replica.keys.counters),
            self._pointers[number].command,
        ]
        try:
            return replica.connection.send(commands)
        except ReadModelOverloaded:
            failed: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()
            failed.set_result([])
            return failed

    def _is_usable(self, number: int, replica: _CurrentReplica, replies: Replies) -> bool:
        """Removes the last replies, position and generation; returns whether the others may be used.

        Another replica is read only once it has that position too.
        """
        progress = self._progress[number]
        active, counters = (replies.pop(), replies.pop()) if replies else (None, None)
        if progress.replica is not replica or not self._may_answer(number, replica):
            return False  # the primary was read meanwhile
        if (
            active == replica.keys.generation
            and replica.connection.connect_count == replica.connect_count
            and isinstance(counters, list)
            and ReplyError not in map(type, replies)
        ):
            replica.position = progress.position = max(progress.position, _position(counters))
            return True
        progress.replica = None
        if not isinstance(active, str):
            self._on_failure(progress)
        return False

    def _compare(self, number: int, progress: _Progress, keys: Keys) -> None:
        """Begins to find out whether a replica has what was read."""
        if progress.is_comparing or monotonic() < progress.compare_at:
            return
        pointer = self._pointers[number]
        connection = self._replicas.connection_for(pointer.partition.generations)
        if connection is None:
            progress.compare_at = monotonic() + _FAILURE_SECONDS
            return
        commands = [pointer.command, _READ_POSITION.pack(keys.counters)]
        with suppress(ReadModelOverloaded):
            result = connection.send(commands)
            progress.is_comparing = True
            result.add_done_callback(partial(self._on_compared, progress, keys, connection))

    def _on_compared(
        self,
        progress: _Progress,
        keys: Keys,
        connection: MultiplexedConnection,
        result: asyncio.Future[Replies],
    ) -> None:
        progress.is_comparing = False
        active, counters = [None, None] if result.exception() else result.result()
        if not isinstance(active, str) or not isinstance(counters, list):
            self._on_failure(progress)
            return
        now, position = monotonic(), _position(counters)
        progress.compare_at, expires_at = now + _LAG_SECONDS, now + _MAX_STALENESS_SECONDS
        is_same = progress.keys is keys and active == keys.generation
        if is_same and position >= progress.position:
            progress.replica = _CurrentReplica(
                connection, connection.connect_count, keys, position, expires_at
            )

    def _on_failure(self, progress: _Progress) -> None:
        progress.compare_at = monotonic() + _FAILURE_SECONDS
        self._replicas.choose_others()


class _PrimaryReadModel(ReadModel):
    """The same read model on the primary; its reads note how far they were."""

    def __init__(self, replicas: ReplicaReadModel) -> None:
        vars(self).update(vars(replicas))  # the connection, the generations, and all others
        self.shared = SharedCalls()
        self._on_read = replicas.on_primary_read

    async def read(self, partition: int, commands_for: CommandsFor) -> Replies:
        return (await self.read_partitions({partition: commands_for}))[partition]

    async def read_partitions(self, requests: Mapping[int, CommandsFor]) -> dict[int, Replies]:
        read: dict[int, Keys] = {}

        def with_position(number: int, commands_for: CommandsFor) -> CommandsFor:
            def commands(keys: Keys) -> list[bytes]:
                read[number] = keys
                return [*commands_for(keys), _READ_POSITION.pack(keys.counters)]

            return commands

        results = await super().read_partitions(
            {number: with_position(number, wanted) for number, wanted in requests.items()}
        )
        for number, replies in results.items():
            self._on_read(number, read[number], _position(replies.pop()))
        return results


def _always(commands: list[bytes]) -> CommandsFor:
    return lambda _: commands


def _position(counters: list[str | None]) -> int:
    return sum(int(counter or 0) for counter in counters)
