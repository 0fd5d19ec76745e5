"""The closed loop: every connection asks its next question as soon as it has the last answer."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from typing import TYPE_CHECKING

from tests.benchmarks import questions
from tests.benchmarks.wire import AnswerError, Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.benchmarks.plan import Plan, Tally

    Ask = Callable[[Connection], Awaitable[object]]

SEED = 20  # the same order of users and pages for Tandem and for the yardstick


async def questions_without_end(plan: Plan, opened: list[Connection], tally: Tally) -> None:
    ask = _question(plan, random.Random(SEED))
    async with asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(_keep_asking(connection, ask, tally))


def _question(plan: Plan, choose: random.Random) -> Ask:
    if plan.workload == "user_by_id":
        return lambda connection: questions.user(connection, choose.choice(plan.ids))
    if plan.workload == "users_page":
        return lambda connection: questions.page(connection, choose.choice(plan.cursors))
    run, number = uuid.uuid4().hex[:12], itertools.count()
    return lambda connection: questions.create_user(connection, f"bench-{run}-{next(number)}")


async def _keep_asking(connection: Connection, ask: Ask, tally: Tally) -> None:
    while True:
        began = time.perf_counter()
        try:
            await ask(connection)
        except AnswerError as wrong:
            tally.fail(str(wrong))
            await asyncio.sleep(0.01)  # a service that refuses at once must not make us spin
        else:
            if tally.measuring:
                tally.took("answer", connection.answered_at - began)
