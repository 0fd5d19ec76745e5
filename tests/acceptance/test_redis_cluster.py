"""The service on Redis Cluster: three primaries with a replica each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.roles import namespace
from api.settings import Settings
from readside.redis_connection.cluster import SLOTS, slot_of
from tests.acceptance.cli import tandem
from tests.acceptance.service import running
from tests.redis_cluster import PRIMARIES, RedisCluster, cluster
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    pass


__all__ = ["cluster"]


@pytest.fixture
def settings(database_url: str, cluster: RedisCluster) -> Settings:
    return Settings(
        database_url=database_url, redis_url=cluster.url, partitions=PARTITIONS, read_timeout=5.0
    )


USERS = "{ users(first: 100) { totalCount edges { node { id name } } } }"


async def test_the_service_and_its_commands_run_on_a_cluster(settings: Settings) -> None:
    async with running(settings) as client:
        users = [await client.create_user(f"User {n}", f"user{n}@example.com") for n in range(20)]
        for user in users:
            await client.complete_order(await client.place_order(user))
        found = await client.data(USERS)
        assert {edge["node"]["id"] for edge in found["users"]["edges"]} == set(users)
        assert found["users"]["totalCount"] == len(users)
        by_email = '{ userByEmail(email: "user7@example.com") { id } topCustomers { id } }'
        found = await client.data(by_email)
        assert found["userByEmail"]["id"] == users[7]
        assert len(found["topCustomers"]) == 10

        verified = await tandem(settings, "verify", "--json")
        assert (verified.status, verified.json["differences"]) == (0, []), verified
        assert verified.json["users"] == len(users)
        rebuilt = await tandem(settings, "rebuild")
        assert rebuilt.status == 0, rebuilt
        assert "0 differences" in (await tandem(settings, "verify")).out
        status = await tandem(settings, "status")
        assert status.status == 0, status
        doctor = await tandem(settings, "doctor")
        assert doctor.status == 0, doctor
        ready = (await client.http.get("/readyz")).json()
        assert set(ready["parts"].values()) == {"ok"}, ready


def test_no_node_with_a_third_of_the_slots_has_more_than_three_of_eight_partitions(
    settings: Settings,
) -> None:
    slots = [slot_of(namespace(settings).partition(number).stream) for number in range(8)]
    nodes = [slot * PRIMARIES // SLOTS for slot in slots]
    assert max(map(nodes.count, nodes)) <= 3
