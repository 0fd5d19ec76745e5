"""Short stages in which the event log is changed underneath a cluster, or another log comes to its Redis.

After each change a user is created in the partition that it touched. Once that user is shown, the relay has
compared this partition with the log, so that the read model must be the log at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from api.settings import Settings
from tests.chaos.checker import Violation
from tests.chaos.cluster import PARTITIONS
from tests.chaos.convergence import as_the_log
from tests.chaos.dumps import copied, dump_of, execute, in_place
from tests.chaos.history import History
from tests.chaos.model import partition_of
from tests.chaos.verdict import at_rest, restless
from tests.chaos.workload import Workload
from tests.chaos.writers import held_commits
from tests.limited import limited

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster

MEMBERS = ("api", "relay-1", "projector-1")
"""The processes that a stage needs."""

WITHIN = 15.0
"""Seconds in which a command or a query is answered."""

_TAKE_BACK = """
    delete from events where user_id = '{user}' and version = 2;
    delete from commands where user_id = '{user}' and version = 2;
    update users set name = 'Before', version = 1, updated_at = created_at where id = '{user}';
"""

_RENAME = """
    update users set name = 'Another', version = 2, updated_at = now() where id = '{user}';
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select partition, user_id, 2, 'UserRenamed', 1, '{{"name": "Another"}}', '{{}}', now()
    from events where user_id = '{user}' and version = 1;
"""

_RENUMBER = """
    update events set xid = (xid::text::bigint + 1000000)::text::xid8
    where user_id = '{user}' and version = 2
"""


class Scene:
    """A cluster and one client of it, which sends each operation until it is answered."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._workload = Workload(cluster.port, History(), seed=0, clients=0, people=0)
        self._client = self._workload.client("client")

    def close(self) -> None:
        self._client.close()

    async def command(self, command: str, **given: Any) -> str:
        key = f"key {self._workload.unique()}"
        async with limited(WITHIN):
            while (called := await self._client.command(command, given, key)).outcome != "ok":
                await asyncio.sleep(0.02)
        return str(called.id)

    async def created(self) -> str:
        number = self._workload.unique()
        return await self.command("createUser", name="Before", email=f"user{number}@example.com")

    async def created_beside(self, user: str) -> str:
        """Creates a user in the partition of another."""
        place = partition_of(user, PARTITIONS)
        while partition_of(other := await self.created(), PARTITIONS) != place:
            pass
        return other

    async def shows(self, user: str, version: int) -> bool:
        seen = await self._client.query("user", id=user)
        return any(row.version >= version for row in seen.rows)

    async def shown(self, user: str, version: int) -> None:
        """Waits until a query answers this version of a user, or a later one."""
        async with limited(WITHIN):
            while not await self.shows(user, version):
                await asyncio.sleep(0.02)

    async def compared(self, user: str) -> None:
        """Waits until the relay, which starts again, has carried an event in the partition of a user."""
        await self.cluster.restart("relay-1")
        await self.shown(await self.created_beside(user), 1)


async def restored_in_place(scene: Scene) -> None:
    """A dump is restored into the same database of the same server."""
    url, dump = scene.cluster.postgres.url, scene.cluster.place / "dump"
    user = await scene.created()
    await dump_of(url, dump)
    await scene.command("renameUser", userId=user, name="Lost")
    await scene.shown(user, 2)
    await in_place(url, dump)
    await scene.compared(user)


async def lost_what_was_visible_first(scene: Scene) -> None:
    """PostgreSQL comes back without a commit that was carried before one whose number is lower."""
    url = scene.cluster.postgres.url
    kept = await scene.created()
    lost = await scene.created_beside(kept)
    await scene.shown(lost, 1)
    async with held_commits(url, f"new.user_id = '{kept}'") as hold:
        held = asyncio.create_task(scene.command("renameUser", userId=kept, name="Kept"))
        await hold.reached()
        other = Scene(scene.cluster)
        await other.command("renameUser", userId=lost, name="Lost")
        await other.shown(lost, 2)
        other.close()
        await hold.release()
        await held
    await scene.shown(kept, 2)
    await scene.cluster.kill("relay-1")
    await execute(url, "drop trigger hold_commit on events", _TAKE_BACK.format(user=lost))
    await scene.cluster.postgres.kill()
    await scene.cluster.postgres.start()
    scene.cluster.start("relay-1")
    await scene.shown(await scene.created_beside(kept), 1)


async def another_log_at_the_same_redis(scene: Scene) -> None:
    """The relay of a copy of the database comes, which has gone on in another way."""
    cluster = scene.cluster
    user = await scene.created()
    staging = await copied(cluster.postgres.url, "staging", cluster.place)
    await execute(staging, _RENAME.format(user=user))
    member = cluster.run("staging", "relay", DATABASE_URL=staging)
    try:
        async with limited(WITHIN):
            while member.running:
                assert not await scene.shows(user, 2), "an event of another log is shown"
                await asyncio.sleep(0.02)
    finally:
        member.kill()
        await member.ended()


async def events_of_another_server(scene: Scene) -> None:
    """The log has an event that was not carried, with the number of a server that is far ahead."""
    user = await scene.created()
    await scene.shown(user, 1)
    await scene.cluster.kill("relay-1")
    await scene.command("renameUser", userId=user, name="After")
    await execute(scene.cluster.postgres.url, _RENUMBER.format(user=user))
    scene.cluster.start("relay-1")
    await scene.shown(await scene.created_beside(user), 1)


async def identity(
    cluster: Cluster, *stages: Callable[[Scene], Awaitable[None]], within: float = WITHIN
) -> list[Violation]:
    """Returns how the read model differs from the log `within` so many seconds after one of these stages."""
    settings = Settings(
        database_url=cluster.postgres.url, redis_url=cluster.valkey.url, partitions=PARTITIONS
    )
    scene = Scene(cluster)
    await at_rest(cluster)
    try:
        for stage in stages:
            await stage(scene)
            await as_the_log(settings, within=within)
    except (AssertionError, TimeoutError) as error:
        return [restless(error)]
    finally:
        scene.close()
    return [Violation("no-complaints", line) for line in cluster.complaints()]
