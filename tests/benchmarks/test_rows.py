"""Each kind of load runs against a real service, for a moment: what it sees is not looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.forked import running
from tests.processes import HOST, free_port
from tests.stores import PARTITIONS

from . import questions
from .load import drive
from .plan import OPEN, Plan, WatchPlan, Workload
from .services import A_QUERY
from .watching import watch
from .wire import AnswerError, connections

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

USERS = 20

WORKLOADS: tuple[Workload, ...] = (
    *("create_user", "user_by_id", "users_page", "fifty_texts", "literals", "new_texts"),
    *("orders", "place_order", "visible", "waited_for"),
)
WAYS: tuple[Literal["SSE", "WebSocket"], ...] = ("SSE", "WebSocket")


async def _until_served(url: str) -> None:
    while True:
        try:
            async with connections(url, 1) as (connection,):
                if b'"errors"' not in await connection.post(questions.body(A_QUERY)):
                    return
        except (OSError, AnswerError):
            continue


async def test_every_load_runs_without_a_failure(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    port = free_port()
    env = {
        "HOST": HOST,
        "PORT": str(port),
        "PARTITIONS": str(PARTITIONS),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
    }
    url = f"http://{HOST}:{port}"
    async with running("serve", env=env, log=tmp_path / "serve.log") as process:
        await _until_served(url)
        ids = await questions.create_users(url, USERS)
        async with connections(url, 1) as (connection,):
            for user in ids:
                await questions.user(connection, user, wait=True)
        for workload in WORKLOADS:
            plan = Plan(
                workload=workload,
                url=url,
                connections=2,
                seconds=0.1,
                warm_up=0.02,
                rate=50.0 if workload in OPEN else 0.0,
                request_ids=True,
                ids=ids,
                cursors=[None],
                service=[process.pid],
            )
            seen = await drive(plan)
            assert (workload, seen.failed, seen.first_failure) == (workload, 0, None)
            assert seen.latencies["answer"], workload
        for over in WAYS:
            for watched, rate in ((ids[:1], 0.0), (ids[:3], 100.0)):
                watching = WatchPlan(
                    over=over,
                    url=url,
                    pid=process.pid,
                    writer=url,
                    ids=watched,
                    watchers=3,
                    changes=3,
                    rate=rate,
                )
                found = await watch(watching)
                assert len(found.latencies) == (3 if rate else 9), over
                assert len(found.last) == 3
