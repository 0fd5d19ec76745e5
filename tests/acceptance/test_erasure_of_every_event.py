"""After an erasure neither store has text of any event type, however new the type is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest
from redis.asyncio import Redis

from api.runtime import drivers
from domain.envelope import encode
from domain.ids import new_id
from domain.write import sql
from tests import remains
from tests.domain.write_model import WriteModel
from tests.domain.written_events import ENDING, Happens, before_the_end

if TYPE_CHECKING:
    from api.settings import Settings
    from domain.aggregate_contract import Aggregate
    from domain.event import DomainEvent
    from tests.acceptance.service import Client

WITHIN = 15.0
"""Seconds after an erasure, at most."""

ENUMERATED: set[str] = set()
"""Texts that are equal for all users, such as a status: add those of a new event type."""


def texts(value: Any) -> Iterator[str]:
    """Every text in this JSON that may be about a person: not an id, not an instant, not one of a few."""
    match value:
        case dict():
            for part in value.values():
                yield from texts(part)
        case list():
            for part in value:
                yield from texts(part)
        case str() if not (value in ENUMERATED or is_a(UUID, value) or is_a(datetime, value)):
            yield value


def is_a(kind: type, text: str) -> bool:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return False
    return True


def as_it_was_written(written: list[tuple[str, int, str, DomainEvent]]) -> Any:
    """An `encode` that returns the JSON that is kept for each of these events, in its own schema."""
    kept = {id(event): (tag, schema, data) for tag, schema, data, event in written}
    return lambda aggregate, event: kept.get(id(event)) or encode(aggregate, event)


async def found(words: set[str], settings: Settings) -> set[str]:
    urls = str(settings.database_url), str(settings.redis_url)
    return set(await remains.of(words, *urls))


async def projected(aggregate: Aggregate, aggregate_id: UUID, settings: Settings) -> int:
    """Returns the version of a document in Redis; 0 without one."""
    async with Redis.from_url(str(settings.redis_url)) as redis:
        keys = [key async for key in redis.scan_iter(f"*:{aggregate.name}:{aggregate_id}")]
        return max([int(await redis.hget(key, "version") or 0) for key in keys], default=0)


@pytest.mark.parametrize("aggregate", ENDING, ids=lambda aggregate: aggregate.name)
async def test_no_text_of_any_event_ever_written_is_left_in_either_store(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch, aggregate: Aggregate
) -> None:
    written = before_the_end(aggregate)
    monkeypatch.setattr(sql, "encode", as_it_was_written(written))
    words = {word for _, _, data, _ in written for word in texts(msgspec.json.decode(data))}
    aggregate_id = new_id()
    events = tuple(event for *_, event in written)
    async with drivers.database(settings) as pool:
        model = WriteModel(pool)
        change = Happens(aggregate=aggregate, id=aggregate_id, events=events)
        version = (await model.ask(change)).version
        async with asyncio.timeout(WITHIN):
            while await projected(aggregate, aggregate_id, settings) < version:
                await asyncio.sleep(0.05)
        assert await found(words, settings) == words
        end = aggregate.ends_with[0]()
        await model.ask(Happens(aggregate=aggregate, id=aggregate_id, events=(end,)))
    give_up = time.monotonic() + WITHIN
    while (left := await found(words, settings)) and time.monotonic() < give_up:
        await asyncio.sleep(0.05)
    assert left == set()
    assert words
