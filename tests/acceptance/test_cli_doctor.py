"""tandem doctor: reports what is wrong in the environment of a service, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest
from redis.asyncio import Redis

from api.cli.checks import process_settings
from tests.acceptance.cli import tandem
from tests.acceptance.service import running
from tests.processes import HOST, free_port

if TYPE_CHECKING:
    from api.settings import Settings
    from tests.acceptance.cli import Output


def levels(output: Output) -> dict[str, str]:
    return {finding["what"]: finding["level"] for finding in output.json["findings"]}


def says(output: Output, what: str) -> str:
    found = {one["what"]: str(one["says"]) for one in output.json["findings"]}
    assert what in found, output.out
    return found[what]


@pytest.mark.parametrize(
    ("health_port", "port", "level", "room"),
    [(9000, 8000, "ok", 56_536), (7998, 8000, "hint", 2), (8000, 8000, "hint", 0)],
)
def test_it_reports_for_how_many_workers_there_are_health_ports(
    settings: Settings, health_port: int, port: int, level: str, room: int
) -> None:
    asked = settings.model_copy(update={"health_port": health_port, "port": port})
    [found] = [
        finding for finding in process_settings.check(asked) if finding.what == "HEALTH_PORT"
    ]
    assert found.level == level
    assert f"room for {room} workers" in found.says


async def test_nothing_is_wrong_in_a_service_that_is_well(settings: Settings) -> None:
    async with running(settings):
        output = await tandem(settings, "doctor", "--json", AUTH_SECRET="never told " * 5)
    assert output.status == 0, output
    found = levels(output)
    assert set(found.values()) - {"hint"} == {"ok"}
    assert found["read model"] == found["functions"] == found["permissions"] == "ok"
    assert "AUTH_SECRET=" in says(output, "settings")
    assert "never told" not in output.out


async def test_each_problem_is_reported_with_what_to_do(
    settings: Settings, empty_database_url: str
) -> None:
    empty = settings.model_copy(update={"database_url": empty_database_url})
    async with Redis.from_url(settings.redis_url or "") as redis:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            output = await tandem(empty, "doctor", "--json")
        finally:
            await redis.config_set("maxmemory-policy", "noeviction")
    assert output.status == 1
    assert "set maxmemory-policy to noeviction" in says(output, "eviction")
    assert "tandem migrate" in says(output, "migrations")
    assert levels(output)["read model"] == "hint"
    other = settings.model_copy(update={"partitions": 3})
    assert "set PARTITIONS=8" in says(await tandem(other, "doctor", "--json"), "migrations")


async def test_missing_permissions_to_write_and_to_load_functions_are_reported(
    settings: Settings,
) -> None:
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute(
        "create role reader login; grant select on all tables in schema public to reader"
    )
    async with Redis.from_url(settings.redis_url or "") as redis:
        await redis.acl_setuser(
            "poor", enabled=True, passwords=["+word"], keys=["*"], commands=["+@all", "-function"]
        )
        try:
            poor = settings.model_copy(
                update={
                    "database_url": (settings.database_url or "").replace("tandem@", "reader@"),
                    "redis_url": (settings.redis_url or "").replace("unix://", "unix://poor:word@"),
                }
            )
            output = await tandem(poor, "doctor", "--json")
        finally:
            await redis.acl_deluser("poor")
            await connection.execute("drop owned by reader; drop role reader")
            await connection.close()
    assert output.status == 1
    assert "grant INSERT" in says(output, "permissions")
    assert "FUNCTION LOAD is refused" in says(output, "functions")


async def test_two_unreachable_stores_are_two_lines(settings: Settings) -> None:
    away = settings.model_copy(
        update={
            "database_url": f"postgresql://user:secret@{HOST}:{free_port()}/none",
            "redis_url": f"redis://{HOST}:{free_port()}",
        }
    )
    output = await tandem(away, "doctor")
    assert output.status == 1
    assert "check DATABASE_URL" in output.out
    assert "check REDIS_URL" in output.out
    assert "secret" not in output.out
    assert output.err == ""
