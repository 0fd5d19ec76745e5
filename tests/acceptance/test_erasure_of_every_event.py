"""After an erasure neither store has text of any event type, however new the type is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from api.runtime import drivers
from domain.envelope import decode, encode
from domain.users.events import Event, UserErased
from domain.write import sql
from tests import remains
from tests.domain.users.test_events import WRITTEN
from tests.domain.write.test_every_event import Happens
from tests.domain.write_model import WriteModel

if TYPE_CHECKING:
    import pytest

    from api.settings import Settings
    from tests.acceptance.service import Client

READ = "query($id: ID!, $version: Int!) { user(id: $id, minVersion: $version) { version } }"
ERASE = "mutation($input: EraseUserInput!) { eraseUser(input: $input) { id } }"

WITHIN = 15.0
"""Seconds after an erasure, at most."""

LIVED = [entry for entry in WRITTEN if entry[0] != UserErased.__name__]

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


def as_it_was_written(events: list[Event]) -> Any:
    """An `encode` that gives the JSON that is kept for each of these events, in its own schema."""
    kept = {id(event): entry[:3] for event, entry in zip(events, LIVED, strict=True)}
    return lambda event: kept.get(id(event)) or encode(event)


async def found(settings: Settings) -> set[str]:
    urls = str(settings.database_url), str(settings.redis_url)
    words = {word for _, _, data, _ in LIVED for word in texts(msgspec.json.decode(data))}
    assert len(words) > 3
    return {word for word in words if await remains.of(word, *urls)}


async def test_no_text_of_any_event_ever_written_is_left_in_either_store(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [decode(tag, schema, data.encode()) for tag, schema, data, _ in LIVED]
    monkeypatch.setattr(sql, "encode", as_it_was_written(events))
    async with drivers.database(settings) as pool:
        model = WriteModel(pool)
        user_id = await model.user("Somebody", "somebody@example.com")
        version = (await model.ask(Happens(user_id=user_id, events=tuple(events)))).version
    await client.data(READ, id=str(user_id), version=version)
    everywhere = await found(settings)
    await client.data(ERASE, input={"userId": str(user_id)})
    give_up = time.monotonic() + WITHIN
    while (left := await found(settings)) and time.monotonic() < give_up:
        await asyncio.sleep(0.05)
    assert left == set()
    assert len(everywhere) > 3
