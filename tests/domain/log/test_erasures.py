"""An erasure of a long history: hidden at once, blanked in slices, whoever dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import chain

import asyncpg
import pytest

from domain.envelope import Envelope, partition_of
from domain.log.audit import Audit
from domain.log.cursor import Snapshot, Window
from domain.log.erasures import SLICE, Erasures, PendingErasures, pending_erasures
from domain.log.event_log import EventLog
from domain.log.relay_log import RelayLog
from domain.users.aggregate import USER
from domain.users.commands.erase_user import EraseUser
from domain.users.commands.rename_user import RenameUser
from domain.users.events import UserErased, UserId
from tests.domain.log.relay_harness import RelayHarness, settle
from tests.domain.write_model import PARTITIONS, WriteModel

NAME = "Wilhelmina"
EVENTS = SLICE + 350
"""Of a history that one slice does not cover."""

SMALL = 50
"""Events of a slice here, so that there are several."""

_LIVED = """
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select partition, user_id, number, 'UserRenamed', 1, data - 'email', metadata, occurred_at
    from events, generate_series(2, $2::int) as number where user_id = $1 and version = 1
"""


async def lived(model: WriteModel, events: int = EVENTS, address: str = "w@example.com") -> UserId:
    """A user with so many events, all of which have a name."""
    user_id = await model.user(NAME, address)
    await model.pool.execute(_LIVED, user_id, events)
    await model.pool.execute("update users set version = $2 where id = $1", user_id, events)
    return user_id


async def erased(model: WriteModel, events: int = EVENTS) -> UserId:
    user_id = await lived(model, events)
    await model.ask(EraseUser(user_id=user_id))
    return user_id


def erasures(model: WriteModel) -> Erasures:
    return Erasures(model.pool, size=SMALL, pause_seconds=0.0)


async def finish(job: Erasures) -> int:
    """Runs it to its end and returns the number of slices."""
    slices = 0
    while await job.run_once():
        slices += 1
    return slices


async def named(model: WriteModel) -> list[int]:
    """The versions of the events that still hold a name."""
    rows = await model.rows("select version from events where data::text like $1", f"%{NAME}%")
    return [row["version"] for row in rows]


async def test_the_first_slice_is_blanked_with_the_erasure_and_the_rest_is_noted(
    model: WriteModel,
) -> None:
    user_id = await erased(model)
    assert sorted(await named(model)) == list(range(SLICE + 1, EVENTS + 1))
    noted = await pending_erasures(model.pool)
    assert (noted.aggregates, noted.events) == (1, EVENTS - SLICE)
    [row] = await model.rows("select name, email, email_key, secret from users")
    assert row == {"name": "", "email": "", "email_key": None, "secret": None}
    assert await model.history(user_id) != []


@pytest.mark.parametrize("events", [1, SLICE - 1, SLICE])
async def test_a_history_that_one_slice_covers_is_blanked_with_the_erasure(
    model: WriteModel, events: int
) -> None:
    await erased(model, events)
    assert await named(model) == []
    assert await pending_erasures(model.pool) == PendingErasures(aggregates=0, events=0, oldest=0.0)


def with_a_name(envelopes: Iterable[Envelope]) -> list[int]:
    """The versions of those whose data holds a name."""
    return [one.version for one in envelopes if NAME.encode() in bytes(one.data)]


async def readers(model: WriteModel, user_id: UserId) -> dict[str, list[Envelope]]:
    """What every way of reading the log returns about a user."""
    log, relay_log = EventLog(model.pool), RelayLog(model.pool)
    partition = partition_of(user_id, PARTITIONS)
    now, _ = await relay_log.current_snapshot()
    whole = Window(since=Snapshot(1), until=now)
    pages = [page async for _, page in log.events_by_aggregate(partition, 100)]
    since = await relay_log.visible_since(Snapshot(1), [partition], 10_000)
    page = await relay_log.page(partition, whole, 10_000)
    return {
        "history": await log.history(user_id, 0),
        "lives": [*chain(*[page async for page in log.events_of([user_id], 100)])],
        "partition": [*chain(*pages)],
        "since": [entry.envelope for entry in since.entries],
        "page": [entry.envelope for entry in page],
    }


async def test_no_reader_sees_a_name_from_the_commit_on_and_none_sees_a_slice(
    model: WriteModel,
) -> None:
    user_id = await erased(model)
    before = await readers(model, user_id)
    job = erasures(model)
    assert await job.run_once()
    between = await readers(model, user_id)
    await finish(job)
    assert before == between == await readers(model, user_id)
    for reader, envelopes in before.items():
        assert [one.version for one in envelopes] == list(range(1, EVENTS + 2)), reader
        assert with_a_name(envelopes) == [], reader
        assert isinstance(envelopes[-1].event(), UserErased)


async def test_the_stream_gets_no_name_of_whom_a_relay_had_not_carried_yet(
    model: WriteModel, harness: RelayHarness
) -> None:
    relay = await harness.started()
    await erased(model)
    await settle(relay)
    assert len(harness.stream.all) == EVENTS + 1
    assert with_a_name(chain(*harness.stream.entries.values())) == []


async def test_the_audit_finds_no_difference_before_and_after_the_slices(model: WriteModel) -> None:
    user_id = await erased(model)
    for _ in range(2):
        assert await Audit(model.pool).of(USER, [user_id]) == []
        await finish(erasures(model))


async def test_the_slices_blank_the_rest_and_change_nothing_else(model: WriteModel) -> None:
    await erased(model)
    others = (
        "select version, type, metadata, occurred_at, position, xid from events order by version"
    )
    before = await model.rows(others)
    assert await finish(erasures(model)) == (EVENTS - SLICE) / SMALL
    assert NAME not in await model.dump()
    assert await model.rows(others) == before
    assert (await pending_erasures(model.pool)).aggregates == 0


async def test_data_that_tandem_did_not_write_is_blanked_as_a_whole(model: WriteModel) -> None:
    user_id = await lived(model)
    for version, data in ((2, f'["{NAME}"]'), (SLICE + 2, f'"{NAME}"'), (SLICE + 3, "null")):
        await model.pool.execute(
            "update events set data = $2::text::jsonb where version = $1", version, data
        )
    await model.ask(EraseUser(user_id=user_id))
    assert with_a_name(chain(*(await readers(model, user_id)).values())) == []
    await finish(erasures(model))
    assert await named(model) == []


async def test_a_process_that_dies_between_or_within_slices_loses_nothing(
    model: WriteModel,
) -> None:
    await erased(model)
    assert await erasures(model).run_once()
    async with model.pool.acquire() as connection:
        await connection.execute("begin")
        assert await Erasures(connection, pause_seconds=0.0).run_once()  # type: ignore[arg-type]
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.execute("select pg_terminate_backend(pg_backend_pid())")
    assert (await pending_erasures(model.pool)).events == EVENTS - SLICE - SMALL
    await finish(erasures(model))
    assert await named(model) == []


async def test_many_concurrent_processes_blank_everything(model: WriteModel) -> None:
    for number in range(3):
        user_id = await lived(model, address=f"w{number}@example.com")
        await model.ask(EraseUser(user_id=user_id))
    await asyncio.gather(*[finish(erasures(model)) for _ in range(6)])
    await finish(erasures(model))  # one that found the last slice locked has ended early
    assert await named(model) == []
    assert (await pending_erasures(model.pool)).aggregates == 0


async def test_a_slice_under_way_keeps_neither_commands_nor_other_processes_waiting(
    model: WriteModel,
) -> None:
    other = await model.user("Bob", "bob@example.com")
    await erased(model)
    async with asyncio.timeout(10), model.pool.acquire() as connection, connection.transaction():
        assert await Erasures(connection, pause_seconds=0.0).run_once()  # type: ignore[arg-type]
        assert not await erasures(model).run_once()
        await model.ask(RenameUser(user_id=other, name="Rob"))
        await model.user(NAME, "w@example.com")
