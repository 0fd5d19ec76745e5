"""The questions of queries to the read model.

Behind the commands to a partition goes one more: which generation serves it. Only if that is the generation
we asked are the replies answers; so an emptied, half-built or replaced read model can never pass for "there
is no such user". Only the rows of a list are read without that, a moment after their ids were found so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from hiredis import ReplyError

from domain.envelope import partition_of
from readside.errors import ReadModelRebuilding, ReadModelUnavailable
from readside.queries.pubsub import ChannelSubscription, PubSub
from readside.redis_connection.encoding import pack
from readside.redis_connection.request_queue import Replies
from readside.redis_functions.keys import ACTIVE_PREFIX, TANDEM, Keys, Namespace, Partition

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from readside.redis_connection.connection import MultiplexedConnection

Question = Callable[[Keys], list[bytes]]
"""Given the keys of the serving generation, the commands to ask, packed; called again if that changes."""

_ATTEMPTS = 3


_NOT_NOW = (
    "LOADING",
    "MASTERDOWN",
    "NOAUTH",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
    "READONLY",
    "OOM",
    "MISCONF",
)
"""How errors of Redis begin that say something of Redis, and nothing of what it was asked."""


class PartitionPointer(msgspec.Struct):
    """A partition. `keys` are those of the generation that served it last; `pointer` asks which one does."""

    partition: Partition
    pointer: bytes
    keys: Keys | None = None

    def add(self, question: Question, commands: list[bytes]) -> None:
        """The question, and the pointer behind it; the pointer alone as long as no generation is known."""
        if self.keys is not None:
            commands += question(self.keys)
        commands.append(self.pointer)

    def serving(self) -> Keys:
        if self.keys is None:
            raise ReadModelRebuilding
        return self.keys

    def hear(self, keys: Keys | None, serving: str | Exception | None) -> bool:
        """Whether the generation that was asked is the one that serves. Raises ReadModelError."""
        if keys is not None and serving == keys.generation:
            return True
        if isinstance(serving, Exception):
            raise ReadModelUnavailable
        self.keys = None if serving is None else Keys(self.partition, serving)
        if self.keys is None:
            raise ReadModelRebuilding
        return False


class ReadModel:
    """Asks the read model, and listens to its changes. Everything here raises ReadModelError."""

    def __init__(
        self,
        link: MultiplexedConnection,
        changes: PubSub,
        *,
        partitions: int,
        fingerprint: str,
        patience: float = 2.0,
        namespace: Namespace = TANDEM,
    ) -> None:
        """`patience`: seconds a read waits for the version it wants."""
        self.patience = patience
        self.partitions = range(partitions)
        self._link = link
        self._changes = changes
        self._places = [
            PartitionPointer(
                partition, pack(("HGET", partition.generations, f"{ACTIVE_PREFIX}{fingerprint}"))
            )
            for partition in map(namespace.partition, self.partitions)
        ]

    def partition_of(self, user_id: UUID) -> int:
        return partition_of(user_id, len(self.partitions))

    def changes(self, user_id: UUID) -> AbstractAsyncContextManager[ChannelSubscription]:
        """Tells of each new version of a user, from now on."""
        partition = self._places[self.partition_of(user_id)].partition
        return self._changes.of(partition.user_channel(user_id))

    async def ask(self, partition: int, question: Question) -> Replies:
        """The replies to a question to one partition."""
        place = self._places[partition]
        for _ in range(_ATTEMPTS):
            keys = place.keys
            commands: list[bytes] = []
            place.add(question, commands)
            replies = await self._link.ask(commands)
            if place.hear(keys, replies.pop()):
                return _sound(replies)
        raise ReadModelUnavailable

    async def ask_each(self, questions: Mapping[int, Question]) -> dict[int, Replies]:
        """The replies to a question to each of these partitions, by partition: all travel together."""
        answers: dict[int, Replies] = {}
        for _ in range(_ATTEMPTS):
            if not questions:
                break
            questions = await self._ask_once(questions, answers)
        if questions:
            raise ReadModelUnavailable
        return answers

    async def _ask_once(
        self, questions: Mapping[int, Question], answers: dict[int, Replies]
    ) -> dict[int, Question]:
        """Adds to the answers; returns the questions that met another generation than they were meant for."""
        commands: list[bytes] = []
        asked: list[tuple[int, Keys | None, int]] = []
        for number, question in questions.items():
            place = self._places[number]
            place.add(question, commands)
            asked.append((number, place.keys, len(commands) - 1))
        replies = await self._link.ask(commands)
        start, again = 0, {}
        for number, keys, end in asked:
            if self._places[number].hear(keys, replies[end]):
                answers[number] = _sound(replies[start:end])
            else:
                again[number] = questions[number]
            start = end + 1
        return again

    async def served(self, partitions: Collection[int]) -> dict[int, Keys]:
        """The keys of the generations that served these partitions when they were last asked."""
        if unknown := [number for number in partitions if self._places[number].keys is None]:
            await self.ask_each(dict.fromkeys(unknown, lambda _: []))
        return {number: self._places[number].serving() for number in partitions}

    async def ask_at_once(self, commands: list[bytes]) -> Replies:
        """The replies to packed commands on keys that `served` has just given.

        Nobody asks which generation serves by now. What is there, was there when it served; what is not may
        have gone with it, and is to be asked for with `ask`.
        """
        return _sound(await self._link.ask(commands))

    async def ask_all(self, question: Question) -> list[Replies]:
        """The replies of every partition to the same question."""
        answers = await self.ask_each(dict.fromkeys(self.partitions, question))
        return [answers[number] for number in self.partitions]

    async def report_lost(self, partition: int, user: str) -> None:
        """Something of this user is missing: a projector will make the user anew."""
        await self.ask(partition, lambda keys: [pack(("SADD", keys.needs_resync, user))])


def _sound(replies: Replies) -> Replies:
    """The replies, unless one is an error."""
    if ReplyError in map(type, replies):
        raise _meaning(next(reply for reply in replies if isinstance(reply, ReplyError)))
    return replies


def _meaning(error: ReplyError) -> Exception:
    if str(error).startswith(_NOT_NOW):
        return ReadModelUnavailable()
    # A key of another kind is not what a projection wrote: that one is lost.
    return ReadModelRebuilding() if str(error).startswith("WRONGTYPE") else error
