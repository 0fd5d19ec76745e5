"""tandem events: the history of an aggregate, without personal data."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import jwt
from pydantic import SecretStr

from api.auth.scopes import Caller
from api.roles import Role
from readside.event_source import MAX_HISTORY_EVENTS
from tests.acceptance.cli import tandem
from tests.acceptance.service import running
from tests.api.tokens import EVERYTHING, SECRET

if TYPE_CHECKING:
    from api.settings import Settings

TRACE = "0af7651916cd43dd8448eb211c80319c"
CREATE = 'mutation { createUser(input: {name: "Alice", email: "alice@example.com"}) { id } }'
HISTORY = """
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select 0, $1, number, 'UserRenamed', 1, '{"name": "Alice"}', '{}', now()
    from generate_series(1, $2::int) as number
"""
PLACE = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { id } }"


async def test_a_history_has_no_personal_data_and_says_what_caused_each_event(
    settings: Settings,
) -> None:
    claims = {"sub": "alice", "scope": EVERYTHING, "exp": time.time() + 600}
    headers = {
        "authorization": f"Bearer {jwt.encode(claims, SECRET)}",
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    }
    settings = settings.model_copy(update={"auth_secret": SecretStr(SECRET)})
    async with running(settings, frozenset({Role.API})) as client:
        post = client.http.post
        created = await post("/graphql", json={"query": CREATE}, headers=headers)
        user = created.json()["data"]["createUser"]["id"]
        given = {"input": {"userId": user, "total": "12.50"}}
        placed = await post("/graphql", json={"query": PLACE, "variables": given}, headers=headers)
        order = placed.json()["data"]["placeOrder"]["id"]
    output = await tandem(settings, "events", user, "--json")
    assert output.status == 0, output
    assert (output.json["id"], output.json["aggregate"]) == (user, "user")
    first, second = output.json["events"]
    assert (first["version"], first["type"], first["schema"]) == (1, "UserCreated", 1)
    assert first["data"] == {"name": "", "email": ""}
    assert second["data"] == {"order_id": order, "total": 1250}
    for event, command in ((first, "CreateUser"), (second, "PlaceOrder")):
        metadata = event["metadata"]
        assert metadata["command"] == command
        assert metadata["causationId"] == metadata["commandId"]
        assert metadata["correlationId"] == TRACE
        assert metadata["actor"] == Caller(subject="alice").subject_hash
    text = (await tandem(settings, "events", user)).out
    assert f"order_id={order}" in text
    assert "total=1250" in text
    assert "version 2" in text
    for personal in ("Alice", "alice"):
        assert personal not in output.out + text


async def test_an_unknown_id_is_one_sentence(settings: Settings) -> None:
    unknown = str(uuid4())
    output = await tandem(settings, "events", unknown)
    assert (output.status, output.out) == (1, "")
    assert output.err == f"tandem: The event log has no event of {unknown}.\n"


async def test_a_history_of_several_pages_is_printed_whole(settings: Settings) -> None:
    user, count = str(uuid4()), 2 * MAX_HISTORY_EVENTS + 1
    assert settings.database_url is not None
    connection = await asyncpg.connect(settings.database_url)
    try:
        await connection.execute(HISTORY, user, count)
    finally:
        await connection.close()
    output = await tandem(settings, "events", user, "--json")
    assert [event["version"] for event in output.json["events"]] == [*range(1, count + 1)]
    assert (output.json["id"], output.json["aggregate"]) == (user, "user")
    text = (await tandem(settings, "events", user)).out
    assert text.count("UserRenamed") == count
