"""What a read costs among few users and among many: a user by id, and a page at any place of the list."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from domain.ids import new_id
from domain.users.events import UserCreated
from tests.benchmarks import cpu, history, questions
from tests.benchmarks.figures import row
from tests.benchmarks.plan import Plan
from tests.benchmarks.rebuild import rebuilt
from tests.benchmarks.services import tandem_serve

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import asyncpg

    from domain.users.events import UserEvent
    from tests.benchmarks.bench import Bench

SIZES = (10_000, 1_000_000)
ASKED_FOR = 1_000
"""Users that are read, from anywhere in the list."""

AT_REST = 0.1
"""CPU seconds in a second."""

_ANY = f"""
    select user_id::text from events
    where user_id > (select distinct user_id from events order by 1 offset {questions.PAGE_SIZE} limit 1)
    order by random() limit {ASKED_FOR}
"""
"""Behind each there is a whole page."""


async def size(bench: Bench) -> None:
    for users in SIZES:
        directory = bench.directory / f"size-{users}"
        directory.mkdir()
        async with tandem_serve(directory) as service:
            assert service.stores is not None
            async with history.migrated(service.stores.database_url) as connection:
                async with bench.step(f"writing {users:,} users"):
                    await history.write_users(connection, users, _born)
                ids = await existing_user_ids(connection)
            async with bench.step(f"building the read models of {users:,} users"):
                await rebuilt(service, users)
            async with bench.step("waiting until nobody is busy with that any more"):
                await at_rest((*service.pids, *service.store_pids))
            plan = Plan(
                workload="user_by_id",
                url=service.url,
                connections=bench.options.connections,
                seconds=bench.options.seconds,
                warm_up=bench.options.warm_up,
                ids=ids,
                cursors=[questions.cursor(user) for user in ids],
                service=list(service.pids),
                stores=list(service.store_pids),
            )
            for name, workload in (("user by id", "user_by_id"), ("a page of 20", "users_page")):
                title = f"{name} of {users:,} users"
                seen = await bench.generate(title, msgspec.structs.replace(plan, workload=workload))
                bench.found.rows.append(row(title, [seen]))


async def at_rest(pids: Collection[int]) -> None:
    """Valkey rewrites its append-only file, and projectors look for what is left over, for some time."""
    used = cpu.of_trees(pids)
    while True:
        await asyncio.sleep(1)
        before, used = used, cpu.of_trees(pids)
        if before is None or used is None or used - before < AT_REST:
            return


def _born(number: int) -> Iterator[UserEvent]:
    yield UserCreated(name=f"User {number}", email=f"user-{new_id().hex}@example.com")


async def existing_user_ids(connection: asyncpg.Connection) -> list[str]:
    return [row["user_id"] for row in await connection.fetch(_ANY)]
