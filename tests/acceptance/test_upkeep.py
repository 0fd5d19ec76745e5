"""Automatic maintenance of PostgreSQL: unfinished erasures and deletion of old idempotency keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg

from api.observability.pipeline import PipelineStatus, Upkeep
from api.observability.problems import MAX_ERASURE_SECONDS, problems
from api.roles import Role
from domain.log.erasures import SLICE, PendingErasures
from tests import remains
from tests.acceptance.cli import tandem
from tests.acceptance.service import running
from tests.acceptance.test_health import figures
from tests.chaos.convergence import as_the_log

if TYPE_CHECKING:
    from api.settings import Settings
    from tests.acceptance.service import Client

NAME = "Wilhelmina"
EVENTS = 3 * SLICE
CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { id } }"
ERASE = "mutation($input: EraseUserInput!) { eraseUser(input: $input) { id version } }"

_LIVED = f"""
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select partition, user_id, number, 'UserRenamed', 1, data - 'email', metadata, occurred_at
    from events, generate_series(2, {EVENTS}) as number where version = 1
"""

_OLD_KEYS = """
    insert into commands (key, fingerprint, id, user_id, version, answered_at)
    select sha256(number::text::bytea), '', gen_random_uuid(), gen_random_uuid(), 1,
           now() - interval '31 days'
    from generate_series(1, 1200) as number
"""


async def prepared(settings: Settings, client: Client) -> str:
    """A user with a long history, and keys that are beyond their retention."""
    made = await client.data(CREATE, input={"name": NAME, "email": f"{NAME}@example.com"})
    user_id: str = made["createUser"]["id"]
    connection = await asyncpg.connect(settings.database_url)
    try:
        await connection.execute(_LIVED)
        await connection.execute(f"update users set version = {EVENTS}")
        await connection.execute(_OLD_KEYS)
    finally:
        await connection.close()
    return user_id


async def test_a_relay_finishes_erasures_and_deletes_old_keys(settings: Settings) -> None:
    async with running(settings):
        pass
    async with running(settings, frozenset({Role.API})) as client:
        user_id = await prepared(settings, client)
        erased = await client.data(ERASE, input={"userId": user_id})
        assert erased["eraseUser"]["version"] == EVENTS + 1
        told = figures((await client.http.get("/metrics")).text)
        status = await tandem(settings, "status", "--json")
    assert told["tandem_erasures_unfinished"] == 1
    assert told["tandem_erasure_events"] == EVENTS - SLICE
    assert told["tandem_idempotency_oldest_seconds"] > 30 * 86_400
    upkeep = status.json["look"]["upkeep"]
    assert (upkeep["erasures"]["users"], upkeep["erasures"]["events"]) == (1, EVENTS - SLICE)
    async with running(settings) as client:
        async with asyncio.timeout(30):
            while not await finished(client):
                await asyncio.sleep(0.05)
        await as_the_log(settings)
        urls = str(settings.database_url), str(settings.redis_url)
        assert await remains.of([NAME], *urls) == {}


async def finished(client: Client) -> bool:
    told = figures((await client.http.get("/metrics")).text)
    return (
        told["tandem_erasures_unfinished"] == told["tandem_erasure_events"] == 0
        and told["tandem_idempotency_keys_deleted_total"] == 1200
    )


def test_an_erasure_that_takes_long_is_a_problem_that_says_what_to_do() -> None:
    def found(oldest: float) -> list[str]:
        upkeep = Upkeep(
            erasures=PendingErasures(aggregates=2, events=5000, oldest=oldest), oldest_key=0.0
        )
        look = PipelineStatus(
            at=0.0, postgresql_error=None, redis_error=None, partitions=[], upkeep=upkeep
        )
        return [problem.sentence for problem in problems(look)]

    assert found(MAX_ERASURE_SECONDS - 1) == []
    [sentence] = found(MAX_ERASURE_SECONDS + 1)
    assert "5,000 events of erased aggregates (2)" in sentence
    assert "see that a relay runs" in sentence
