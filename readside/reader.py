"""The connection of queries to the read model.

Questions that are asked in the same turn of the event loop travel in one pipeline. Behind the questions to a
partition goes one more: which generation serves it. Only if that is the generation we asked are the replies
answers; so an emptied, half-built or replaced read model can never pass for "there is no such user".
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from redis.exceptions import RedisError

from domain.events import partition_of
from readside.changes import Changes, Subscription
from readside.errors import ReadModelRebuilding, ReadModelUnavailable
from readside.keys import POINTER, Keys, Partition

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from redis.asyncio import Redis

Replies = list[Any]
Question = Callable[[Keys], Sequence[tuple[str, ...]]]
"""Given the keys of the serving generation, the commands to ask. Called again if that changes meanwhile."""

_ATTEMPTS = 3


class _Asked(msgspec.Struct):
    question: Question
    answer: asyncio.Future[Replies]
    attempts: int = 0


class Reads:
    """Asks the read model, and listens to its changes. Everything here raises ReadModelError."""

    def __init__(
        self,
        redis: Redis,
        changes: Changes,
        *,
        partitions: int,
        fingerprint: str,
        patience: float = 2.0,
    ) -> None:
        """`redis` decodes replies to str; `patience`: seconds a read waits for the version it wants."""
        self.patience = patience
        self._redis = redis
        self._changes = changes
        self._partitions = partitions
        self._pointer = f"{POINTER}{fingerprint}"
        self._serving: dict[int, str] = {}
        self._asked: dict[int, list[_Asked]] = {}
        self._flights: set[asyncio.Task[None]] = set()

    def partition_of(self, user_id: UUID) -> int:
        return partition_of(user_id, self._partitions)

    def changes(self, user_id: UUID) -> AbstractAsyncContextManager[Subscription]:
        """Tells of each new version of a user, from now on."""
        return self._changes.of(Partition(self.partition_of(user_id)).changed(user_id))

    def ask(self, partition: int, question: Question) -> asyncio.Future[Replies]:
        """The replies to a question to one partition."""
        asked = _Asked(question, asyncio.get_running_loop().create_future())
        self._enqueue(partition, asked)
        return asked.answer

    async def ask_all(self, question: Question) -> list[Replies]:
        """The replies of every partition to the same question."""
        return await asyncio.gather(*(self.ask(p, question) for p in range(self._partitions)))

    async def report_lost(self, user_id: UUID) -> None:
        """Something of this user is missing: a projector will make the user anew."""
        await self.ask(self.partition_of(user_id), lambda keys: [("SADD", keys.lost, str(user_id))])

    def _enqueue(self, partition: int, asked: _Asked) -> None:
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._take_off)
        self._asked.setdefault(partition, []).append(asked)

    def _take_off(self) -> None:
        asked, self._asked = self._asked, {}
        flight = asyncio.create_task(self._fly(asked))
        self._flights.add(flight)
        flight.add_done_callback(self._flights.discard)

    async def _fly(self, asked: dict[int, list[_Asked]]) -> None:
        generations = {partition: self._serving.get(partition) for partition in asked}
        try:
            replies, sizes = await self._carry(asked, generations)
        except (RedisError, OSError):
            for questions in asked.values():
                _refuse(questions, ReadModelUnavailable())
        except Exception as error:  # a question that cannot be put: nobody else is to suffer for it
            await self._fly_alone(asked, error)
        else:
            for partition, questions in asked.items():
                answers = [[next(replies) for _ in range(size)] for size in sizes[partition]]
                self._land(partition, questions, answers, generations[partition], next(replies))

    async def _carry(
        self, asked: dict[int, list[_Asked]], generations: dict[int, str | None]
    ) -> tuple[Iterator[Any], dict[int, list[int]]]:
        """The replies to all questions in one pipeline, and how many replies belong to each question."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.response_callbacks = {}  # replies as Redis sends them: each fetch knows what it asked
        sizes: dict[int, list[int]] = defaultdict(list)
        for partition, questions in asked.items():
            if generation := generations[partition]:
                keys = Keys(Partition(partition), generation)
                for question in questions:
                    commands = question.question(keys)
                    sizes[partition].append(len(commands))
                    for command in commands:
                        pipeline.execute_command(*command)
            pipeline.hget(Partition(partition).generations, self._pointer)
        return iter(await pipeline.execute(raise_on_error=False)), sizes

    async def _fly_alone(self, asked: dict[int, list[_Asked]], error: Exception) -> None:
        questions = [(partition, one) for partition, many in asked.items() for one in many]
        if len(questions) == 1:
            _refuse([questions[0][1]], error)
            return
        for partition, question in questions:
            await self._fly({partition: [question]})

    def _land(
        self,
        partition: int,
        questions: list[_Asked],
        answers: list[Replies],
        asked_of: str | None,
        serving: object,
    ) -> None:
        if isinstance(serving, Exception):
            _refuse(questions, ReadModelUnavailable())
        elif serving is None:
            self._serving.pop(partition, None)
            _refuse(questions, ReadModelRebuilding())
        elif serving == asked_of:
            for asked, answer in zip(questions, answers, strict=True):
                _answer(asked, answer)
        else:
            self._serving[partition] = str(serving)
            for asked in questions:
                self._ask_again(partition, asked)

    def _ask_again(self, partition: int, asked: _Asked) -> None:
        asked.attempts += 1
        if asked.attempts < _ATTEMPTS:
            self._enqueue(partition, asked)
        else:
            _refuse([asked], ReadModelUnavailable())


def _answer(asked: _Asked, replies: Replies) -> None:
    if asked.answer.done():
        return  # whoever asked has gone away
    for reply in replies:
        if isinstance(reply, Exception):
            # A key of another kind is not what a projection wrote: that one is lost.
            lost = str(reply).startswith("WRONGTYPE")
            asked.answer.set_exception(ReadModelRebuilding() if lost else reply)
            return
    asked.answer.set_result(replies)


def _refuse(questions: list[_Asked], error: Exception) -> None:
    for asked in questions:
        if not asked.answer.done():
            asked.answer.set_exception(error)
