"""Questions that wait for their replies, in the order in which they were asked."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Iterator
from typing import Any

Replies = list[Any]
"""One for each command; one that is an error is a hiredis.ReplyError in the list."""


class PendingRequest:
    """The commands of one question, packed; `size` is how many, `until` when an answer is too late."""

    __slots__ = ("again", "answer", "packed", "size", "until")

    def __init__(self, packed: bytes, size: int, answer: Future[Replies], until: float) -> None:
        self.packed = packed
        self.size = size
        self.answer = answer
        self.until = until
        self.again = False
        """Whether it was asked before, on a connection that broke."""

    def refuse(self, error: Exception) -> None:
        if not self.answer.done():  # else whoever asked has gone away
            self.answer.set_exception(error)


class RequestQueue:
    """Oldest first. All wait equally long, so whoever is late stands before all who are not."""

    __slots__ = ("asked", "commands")

    def __init__(self) -> None:
        self.asked: deque[PendingRequest] = deque()
        self.commands = 0
        """Of all questions together."""

    def add(self, asked: PendingRequest) -> None:
        self.asked.append(asked)
        self.commands += asked.size

    def leave(self) -> PendingRequest:
        """The oldest, which waits no more."""
        asked = self.asked.popleft()
        self.commands -= asked.size
        return asked

    def answer(self, replies: Replies) -> None:
        """These are the replies to the oldest."""
        asked = self.leave()
        if not asked.answer.done():
            asked.answer.set_result(replies)

    def late(self, now: float) -> Iterator[PendingRequest]:
        """Those whose time is up, which wait no more."""
        while self.asked and self.asked[0].until <= now:
            yield self.leave()
