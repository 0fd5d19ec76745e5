"""/readyz reports whether a process can work, and which part cannot; /metrics counts its operations."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.roles import Role
from domain.log.relay import Relay
from tests import forked
from tests.acceptance.service import Client, running
from tests.acceptance.test_processes import tandem
from tests.chaos.proxy import proxy
from tests.limited import limited
from tests.processes import HOST, ended, free_port
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from pathlib import Path

    from api.settings import Settings

ALL_WELL = {"writes": "ok", "reads": "ok", "relay": "ok", "projector": "ok"}
CREATE = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'


async def health(http: httpx.AsyncClient) -> tuple[int, dict[str, str]]:
    answer = await http.get("/readyz")
    body = answer.json()
    assert (answer.status_code == 200) == body["ready"]
    return answer.status_code, body["parts"]


async def until(
    http: httpx.AsyncClient, holds: Callable[[int, dict[str, str]], bool]
) -> tuple[int, dict[str, str]]:
    async with limited(25):
        while not holds(*(found := await health(http))):
            await asyncio.sleep(0.05)
    return found


async def test_when_all_is_well_every_part_is_ok(client: Client) -> None:
    assert await health(client.http) == (200, ALL_WELL)
    assert (await client.http.get("/livez")).text == "ok\n"


async def test_before_anything_serves_reads_say_so_and_writes_are_ready(settings: Settings) -> None:
    async with running(settings, frozenset({Role.API})) as client:
        status, parts = await health(client.http)
    assert (status, parts["writes"]) == (200, "ok")
    assert parts["reads"].startswith(f"{PARTITIONS} of {PARTITIONS} partitions are not served")


@pytest.mark.parametrize(("store", "part"), [("database_url", "writes"), ("redis_url", "reads")])
async def test_a_silent_store_makes_its_part_unready_in_time_and_the_other_continues(
    settings: Settings, store: str, part: str
) -> None:
    async with running(settings):
        pass
    async with proxy(getattr(settings, store)) as wire:
        through = settings.model_copy(update={store: wire.url})
        async with running(through, frozenset({Role.API})) as client:
            await until(client.http, lambda _, parts: set(parts.values()) == {"ok"})
            wire.blackhole("both")
            status, parts = await until(client.http, lambda _, parts: parts[part] != "ok")
            async with limited(2):
                await health(client.http)
            wire.flow()
            assert status == 200
            assert {name for name, said in parts.items() if said != "ok"} == {part}
            assert "does not answer" in parts[part]
            await until(client.http, lambda _, parts: set(parts.values()) == {"ok"})


async def test_a_stalled_relay_makes_the_process_unready_even_without_events(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, frozen = asyncio.Event(), asyncio.Event()
    once = Relay.run_once

    async def hanging(self: Relay) -> bool:
        if hangs.is_set():
            frozen.set()
            await asyncio.Event().wait()
        return await once(self)

    monkeypatch.setattr(Relay, "run_once", hanging)
    monkeypatch.setattr("api.observability.heartbeat.STALLED_SECONDS", 1.5)
    async with running(settings) as client:
        assert (await health(client.http))[0] == 200
        hangs.set()
        await frozen.wait()
        status, parts = await until(client.http, lambda status, _: status == 503)
    assert status == 503
    assert "relay has made no progress" in parts["relay"]
    assert {**parts, "relay": "ok"} == ALL_WELL


@asynccontextmanager
async def role(
    name: str, place: Path, **environment: str
) -> AsyncIterator[tuple[Any, httpx.AsyncClient]]:
    """A process with one role, and a client of its HEALTH_PORT."""
    port = free_port()
    env = {"HOST": HOST, "HEALTH_PORT": str(port), "PARTITIONS": str(PARTITIONS), **environment}
    async with (
        forked.running(name, env=env, log=place / f"{name}.log") as started,
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=10) as http,
    ):
        async with limited(20):
            while True:
                try:
                    await http.get("/livez")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield started, http


@pytest.mark.parametrize("name", ["relay", "projector"])
async def test_a_role_without_clients_has_its_own_health_port_and_needs_its_stores(
    name: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with (
        proxy(redis_url) as wire,
        role(name, tmp_path, DATABASE_URL=database_url, REDIS_URL=wire.url) as (started, http),
    ):
        assert await until(http, lambda status, _: status == 200) == (200, {name: "ok"})
        told = (await http.get("/metrics")).text
        assert ("tandem_relay_appended_events_total" in told) == (name == "relay")
        assert ("tandem_projector_events_total" in told) == (name == "projector")
        assert (await http.post("/graphql", json={"query": "{ __typename }"})).status_code == 404
        wire.blackhole("both")
        _, parts = await until(http, lambda status, _: status == 503)
        assert "Redis does not answer" in parts[name]
        wire.flow(drop=True)
        await until(http, lambda status, _: status == 200)
        started.send_signal(signal.SIGTERM)
        assert await ended(started, 20) == 0


def figures(text: str) -> dict[str, float]:
    """By name and labels."""
    return {
        sample.name
        + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_commands_operations_and_events_are_counted_exactly(client: Client) -> None:
    first = figures((await client.http.get("/metrics")).text)
    for number in range(3):
        await client.create_user(email=f"user{number}@example.com")
    await client.send(CREATE.replace("a@", "user1@"))
    await client.data("{ users { totalCount } }")
    await client.send("{ nothing }")
    async with limited(10):
        while True:
            last = figures((await client.http.get("/metrics")).text)
            grown = {name: value - first.get(name, 0.0) for name, value in last.items()}
            if grown["tandem_projector_events_total applied"] == 3:
                break
            await asyncio.sleep(0.05)
    assert grown["tandem_commands_total CreateUser accepted"] == 3
    assert grown["tandem_commands_total CreateUser EmailAlreadyRegistered"] == 1
    assert grown["tandem_command_seconds_count CreateUser"] == 4
    assert grown["tandem_operations_total ok mutation"] == 3
    assert grown["tandem_operations_total EMAIL_ALREADY_REGISTERED mutation"] == 1
    assert grown["tandem_operations_total ok query"] == 1
    assert grown["tandem_operations_total GRAPHQL_VALIDATION_FAILED none"] == 1
    assert grown["tandem_relay_appended_events_total"] == 3
    assert grown["tandem_event_loop_delay_seconds_count"] >= 0
    assert (last["tandem_store_up postgresql"], last["tandem_store_up redis"]) == (1, 1)
    for partition in range(PARTITIONS):
        assert last[f"tandem_read_model_served {partition}"] == 1
        assert last[f"tandem_relay_unpublished_events {partition}"] == 0
    assert sum(last[f"tandem_database_connections {state}"] for state in ("busy", "idle")) >= 1


async def test_a_subscription_is_counted_when_it_is_over(client: Client) -> None:
    user_id = await client.create_user()
    query = f'subscription {{ userChanged(id: "{user_id}") {{ id }} }}'
    headers = {"accept": "text/event-stream"}
    asked = asyncio.create_task(
        client.http.post("/graphql", json={"query": query}, headers=headers)
    )
    await client.data(f'mutation {{ eraseUser(input: {{userId: "{user_id}"}}) {{ id }} }}')
    await asked
    told = figures((await client.http.get("/metrics")).text)
    assert told["tandem_operations_total ok subscription"] == 1


async def test_metrics_on_the_port_of_the_api_are_for_this_machine_alone(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    port = free_port()
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PARTITIONS": str(PARTITIONS)}
    async with tandem(tmp_path, "serve", port=port, ALLOW_ANONYMOUS="true", **stores) as (
        _,
        client,
    ):
        assert (await client.http.get("/metrics")).status_code == 200
        for headers in ({"host": "api.example.com"}, {"x-forwarded-for": "203.0.113.9"}):
            answer = await client.http.get("/metrics", headers=headers)
            assert (answer.status_code, "tandem_" in answer.text) == (403, False)
            assert (await client.http.get("/readyz", headers=headers)).status_code == 200
