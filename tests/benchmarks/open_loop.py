"""The open loop: mutations arrive when they are due, whether or not the service keeps up.

Each is timed from the moment it was due, so a stall is charged to every mutation that it delays.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from typing import TYPE_CHECKING

from tests.benchmarks import questions
from tests.benchmarks.wire import AnswerError, Connection, connections

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.plan import Plan, Tally

SEED = 20
SPARE = 8
"""Times as many connections as a closed loop has: who arrives must not wait for one of ours."""

ONE_IN = 10
"""Of those that are waited for with minVersion, which costs the service as much as half a mutation."""

GIVE_UP_AFTER = 10.0  # seconds for one user to become visible


async def mutations(plan: Plan, tally: Tally) -> None:
    """Sends the plan's mutations and follows them, or some, until a query shows what they created."""
    async with connections(plan.url, SPARE * plan.connections) as opened:
        await _mutations(plan, opened, tally)


async def _mutations(plan: Plan, opened: list[Connection], tally: Tally) -> None:
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in opened:
        free.put_nowait(connection)
    wait = plan.workload == "waited_for"
    loop, run, number = asyncio.get_running_loop(), uuid.uuid4().hex[:12], itertools.count()
    async with asyncio.TaskGroup() as group:

        def start(due: float) -> None:
            nth = next(number)
            followed = not wait or nth % ONE_IN == 0
            send = _send(f"bench-{run}-{nth}", due, free, tally, wait=wait, followed=followed)
            group.create_task(send)

        def start_from_thread(due: float) -> None:
            loop.call_soon_threadsafe(start, due)

        await asyncio.to_thread(_call_when_due, _poisson(plan), start_from_thread)


def _poisson(plan: Plan) -> list[float]:
    """Moments on the perf_counter clock, `rate` a second on average, until the plan's end."""
    choose, due = random.Random(SEED), time.perf_counter()
    end, moments = due + plan.warm_up + plan.seconds, []
    while (due := due + choose.expovariate(plan.rate)) < end:
        moments.append(due)
    return moments


def _call_when_due(moments: list[float], call: Callable[[float], object]) -> None:
    """Runs in a thread: the event loop's timers only tick in whole milliseconds."""
    for due in moments:
        time.sleep(max(0.0, due - time.perf_counter()))
        call(due)


async def _send(
    name: str,
    due: float,
    free: asyncio.Queue[Connection],
    tally: Tally,
    *,
    wait: bool,
    followed: bool,
) -> None:
    measured, late = tally.measuring, time.perf_counter() - due
    connection = await free.get()  # the one idle longest, so that none is closed for idleness
    try:
        user_id = await questions.create_user(connection, name)
        answered = connection.answered_at
        polls = await _until_visible(connection, user_id, answered, wait=wait) if followed else 0
    except AnswerError as wrong:
        tally.fail(str(wrong))
    else:
        if measured:
            tally.took("generator late", late)
            tally.took("answer", answered - due)
            tally.polls += polls
        if measured and followed:
            tally.took("visible", connection.answered_at - answered)
    finally:
        free.put_nowait(connection)


async def _until_visible(
    connection: Connection, user_id: str, answered: float, *, wait: bool
) -> int:
    """Asks again and again, at once, until the user is there; answers how often it asked."""
    asked = 1
    while await questions.find_user(connection, user_id, wait=wait) is None:
        if connection.answered_at - answered > GIVE_UP_AFTER:
            raise AnswerError(f"user {user_id} was not visible after {GIVE_UP_AFTER:g} s")
        asked += 1
    return asked
