"""Older code meets events of newer code: what it does not know stops one aggregate in its own read model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from domain.aggregates import AGGREGATES
from domain.users.events import UserCreated, UserRenamed
from readside.admin.parked_aggregates import Parked
from readside.projection_set import FINGERPRINT, PROJECTIONS
from readside.redis_functions.keys import Partition
from tests.products.domain.aggregate import PRODUCT
from tests.products.domain.events import PriceChanged, ProductCreated
from tests.products.projections import products
from tests.readside.envelopes import spoilt, story, user_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.envelope import Envelope
    from tests.readside.harness import World

ALICE, BOB, LAMP = (user_in(0, number) for number in range(3))
NEWER = "0123456789ab"
NEWER_PROJECTIONS = {**PROJECTIONS, "product": (products.project,)}


def newer_schema(event: Envelope) -> Envelope:
    return spoilt(event, schema=2, data=msgspec.Raw(b'{"name": "Ann"}'))


def unknown_type(event: Envelope) -> Envelope:
    return spoilt(event, type="UserWelcomed", data=msgspec.Raw(b"{}"))


def deploy_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this process runs newer code."""
    user = AGGREGATES["user"]
    upcasts: dict[str, Any] = {"UserRenamed": (lambda fields: fields,)}
    monkeypatch.setitem(AGGREGATES, "user", msgspec.structs.replace(user, upcasts=upcasts))
    monkeypatch.setitem(AGGREGATES, PRODUCT.name, PRODUCT)


async def parked(world: World, fingerprint: str) -> list[tuple[str, int]]:
    found = await Parked(world.redis, Partition(0), fingerprint).all()
    return [(one.aggregate_id, one.version) for one in found]


@pytest.mark.parametrize("newer", [newer_schema, unknown_type])
async def test_an_event_that_older_code_cannot_read_parks_its_aggregate_there(
    world: World, newer: Callable[[Envelope], Envelope]
) -> None:
    async with world.projector() as old:
        world.commit(ALICE, UserCreated(name="Alice", email="alice@example.com"))
        await world.settle(old)
        [event] = story(ALICE, UserRenamed(name="A"), after=1)
        world.log.commit([newer(event)])
        world.commit(BOB, UserCreated(name="Bob", email="bob@example.com"))
        await world.settle(old)
        assert await parked(world, FINGERPRINT) == [(str(ALICE), 2)]
        assert (await world.version_of(ALICE), await world.version_of(BOB)) == (1, 1)


async def test_a_newer_read_model_has_what_older_code_parked_and_both_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.projector() as old:
        world.commit(ALICE, UserCreated(name="Alice", email="alice@example.com"))
        await world.settle(old)
        [event] = story(ALICE, UserRenamed(name="A"), after=1)
        world.log.commit([newer_schema(event)])
        with monkeypatch.context() as patch:
            deploy_newer(patch)
            lamp = ProductCreated(sku="lamp", name="Lamp", price=1), PriceChanged(price=2)
            world.commit(LAMP, *lamp, aggregate="product")
        await world.settle(old)
        assert await parked(world, FINGERPRINT) == [(str(ALICE), 2), (str(LAMP), 1)]
        deploy_newer(monkeypatch)
        async with world.projector(projections=NEWER_PROJECTIONS, fingerprint=NEWER) as new:
            await world.settle(new)
            assert await parked(world, NEWER) == []
            keys = await world.serving(fingerprint=NEWER)
            assert keys is not None
            assert await world.redis.hget(keys.document("user", ALICE), "name") == "Ann"
            assert await world.redis.hget(keys.document("product", LAMP), "price") == "2"
            world.commit(BOB, UserCreated(name="Bob", email="bob@example.com"))
            await world.settle(new, old)
            assert await world.redis.hget(keys.document("user", BOB), "version") == "1"
        assert await parked(world, FINGERPRINT) == [(str(ALICE), 2), (str(LAMP), 1)]
        assert await world.version_of(BOB) == 1
