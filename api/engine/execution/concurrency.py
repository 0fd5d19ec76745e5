"""Concurrency limits and deadlines of operations: OVERLOADED and DEADLINE_EXCEEDED."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

from api.engine.operation_type import OperationType
from api.errors import Formatted, RequestError, formatted
from api.limits import Limits

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_QUERY_LATE = (
    "The query was cancelled after {seconds:g} seconds ({setting}); retry it, or request less."
)
_MUTATION_LATE = (
    "The mutation was cancelled after {seconds:g} seconds ({setting}), so it is not known whether its"
    " commands were carried out; send it again with the same idempotencyKey."
)


class Slots:
    """A bounded number of slots; `with` takes one for the duration of its block."""

    def __init__(self, things: str, limit: int, setting: str) -> None:
        """`things` and `setting` name what is limited, and by which setting, in the error message."""
        self.taken = 0
        self._things = things
        self._limit = limit
        self._setting = setting

    def check(self) -> None:
        """Raises OVERLOADED if no slot is free. Called before other work, to make a refusal cheap."""
        if self.taken >= self._limit:
            message = (
                f"The service is busy with {self._limit} {self._things} ({self._setting}), so nothing was"
                " done; try again in a moment."
            )
            raise RequestError([formatted("OVERLOADED", message)], status=503)

    def __enter__(self) -> None:
        self.check()
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


class _Running:
    """A running task and its deadline, in seconds of the event loop's clock."""

    __slots__ = ("deadline", "is_late", "task")

    def __init__(self, task: asyncio.Task[object], deadline: float) -> None:
        self.task = task
        self.deadline = deadline
        self.is_late = False


class DeadlineScope:
    """Slots with a deadline: a task that holds one for too long is cancelled.

    All tasks have the same time, so they expire in the order of their start, and one timer serves all:
    a timer for each request would cost more than everything else in here.
    """

    def __init__(self, slots: Slots, seconds: float, late: Formatted) -> None:
        self.slots = slots
        self._seconds = seconds
        self._late = late
        self._running: dict[_Running, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, work: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
        """Returns the result of `work`. Raises OVERLOADED, or DEADLINE_EXCEEDED after cancelling the task.

        A slot that was free at admission may be taken by now.
        """
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        with self.slots:
            running = self._start(task)
            try:
                return await work(*arguments)
            except asyncio.CancelledError:
                if running.is_late and task.cancelling() == cancelled_before + 1:
                    raise RequestError([self._late], status=504) from None
                raise  # cancelled from outside
            finally:
                if running.is_late:
                    task.uncancel()
                del self._running[running]

    def _start(self, task: asyncio.Task[object]) -> _Running:
        loop = asyncio.get_running_loop()
        running = _Running(task, loop.time() + self._seconds)
        self._running[running] = None
        if self._timer is None:
            self._timer = loop.call_at(running.deadline, self._on_timeout)
        return running

    def _on_timeout(self) -> None:
        """Cancels the tasks that are late, and sets the timer to the next deadline."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for running in self._running:
            if running.deadline > loop.time():
                self._timer = loop.call_at(running.deadline, self._on_timeout)
                break
            if not running.is_late:
                running.is_late = True
                running.task.cancel()


def deadline_scopes(limits: Limits) -> dict[OperationType, DeadlineScope]:
    """Returns a scope for each type: mutations that wait for PostgreSQL must not block queries."""

    def scope(things: str, seconds: float, late: str, setting: str) -> DeadlineScope:
        message = late.format(seconds=seconds, setting=setting)
        slots = Slots(things, limits.concurrency, "LIMIT_CONCURRENCY")
        return DeadlineScope(slots, seconds, formatted("DEADLINE_EXCEEDED", message))

    return {
        "query": scope("queries", limits.query_seconds, _QUERY_LATE, "LIMIT_QUERY_SECONDS"),
        "mutation": scope(
            "mutations", limits.mutation_seconds, _MUTATION_LATE, "LIMIT_MUTATION_SECONDS"
        ),
    }


def subscription_slots(limits: Limits) -> Slots:
    return Slots("subscriptions", limits.subscriptions, "LIMIT_SUBSCRIPTIONS")


def websocket_slots(limits: Limits) -> Slots:
    return Slots("WebSocket connections", limits.sockets, "LIMIT_CONNECTIONS")
