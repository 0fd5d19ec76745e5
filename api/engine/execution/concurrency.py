"""How many operations a process executes at once, and for how long: OVERLOADED and DEADLINE_EXCEEDED."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from api.errors import Formatted, RequestError

if TYPE_CHECKING:
    from api.limits import Limits

T = TypeVar("T")

_QUERY_IS_LATE = (
    "The query was given up after {seconds:g} seconds ({setting}); ask again, or for less."
)
_MUTATION_IS_LATE = (
    "The mutation was given up after {seconds:g} seconds ({setting}), so it is not known whether its commands"
    " were carried out; send it again with the same idempotencyKey."
)


class Slots:
    """So many at once; `with` it takes one."""

    def __init__(self, what: str, most: int, setting: str) -> None:
        self.taken = 0
        self._what = what
        self._most = most
        self._setting = setting

    def check(self) -> None:
        """Raises OVERLOADED if none is free. Asked first, so that a refusal costs next to nothing."""
        if self.taken >= self._most:
            message = (
                f"The service is busy with {self._most} {self._what} ({self._setting}), so nothing was"
                " done; try again in a moment."
            )
            error = {"message": message, "extensions": {"code": "OVERLOADED"}}
            raise RequestError([error], status=503)

    def __enter__(self) -> None:
        self.check()
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


class _Running:
    """A task inside, and when it has to be done."""

    __slots__ = ("is_late", "task", "until")

    def __init__(self, task: asyncio.Task[object], until: float) -> None:
        self.task = task
        self.until = until
        self.is_late = False


class DeadlineScope:
    """Seats that are left in time.

    All guests stay equally long, so the first one in is the first one late, and one timer serves all:
    a timer for each request would cost more than everything else in here.
    """

    def __init__(self, seats: Slots, seconds: float, late: Formatted) -> None:
        self.seats = seats
        self._seconds = seconds
        self._late = late
        self._guests: dict[_Running, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def hold(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` comes to. Raises OVERLOADED, and DEADLINE_EXCEEDED once it was cancelled.

        A seat that was free when the operation was let in may be taken by now.
        """
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        with self.seats:
            guest = self._admit(task)
            try:
                return await work()
            except asyncio.CancelledError:
                if guest.is_late and task.cancelling() == cancelled_before + 1:
                    raise RequestError([self._late], status=504) from None
                raise  # somebody else wants the task to end
            finally:
                if guest.is_late:
                    task.uncancel()
                del self._guests[guest]

    def _admit(self, task: asyncio.Task[object]) -> _Running:
        loop = asyncio.get_running_loop()
        guest = _Running(task, loop.time() + self._seconds)
        self._guests[guest] = None
        if self._timer is None:
            self._timer = loop.call_at(guest.until, self._look)
        return guest

    def _look(self) -> None:
        """Cancels who is late, and looks again when the next one is."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for guest in self._guests:
            if guest.until > loop.time():
                self._timer = loop.call_at(guest.until, self._look)
                break
            if not guest.is_late:
                guest.is_late = True
                guest.task.cancel()


def for_queries(limits: Limits) -> DeadlineScope:
    late = _late(_QUERY_IS_LATE, limits.query_seconds, "LIMIT_QUERY_SECONDS")
    seats = Slots("queries", limits.concurrency, "LIMIT_CONCURRENCY")
    return DeadlineScope(seats, limits.query_seconds, late)


def for_mutations(limits: Limits) -> DeadlineScope:
    """Of their own: mutations that wait for PostgreSQL must not keep queries out."""
    late = _late(_MUTATION_IS_LATE, limits.mutation_seconds, "LIMIT_MUTATION_SECONDS")
    seats = Slots("mutations", limits.concurrency, "LIMIT_CONCURRENCY")
    return DeadlineScope(seats, limits.mutation_seconds, late)


def for_subscriptions(limits: Limits) -> Slots:
    return Slots("subscriptions", limits.subscriptions, "LIMIT_SUBSCRIPTIONS")


def for_sockets(limits: Limits) -> Slots:
    return Slots("WebSocket connections", limits.sockets, "LIMIT_CONNECTIONS")


def _late(message: str, seconds: float, setting: str) -> Formatted:
    told = message.format(seconds=seconds, setting=setting)
    return {"message": told, "extensions": {"code": "DEADLINE_EXCEEDED"}}
