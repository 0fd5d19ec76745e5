"""Users and products in the same partitions: each has its read models, and the machinery knows neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from domain.aggregates import AGGREGATES
from domain.envelope import Envelope
from domain.users.events import UserCreated, UserErased, UserRenamed
from readside.admin.parked_aggregates import Parked
from readside.errors import ReadModelRebuilding
from readside.generations import activation_guard
from readside.projection_set import FINGERPRINT
from readside.projections import user_list, users
from readside.queries.page_request import PageRequest
from readside.redis_functions.keys import Partition
from tests.products.domain.aggregate import PRODUCT
from tests.products.domain.events import PriceChanged, ProductCreated, ProductDiscontinued
from tests.products.projections import created_per_month, prices, product_list, products
from tests.readside.contents import contents
from tests.readside.envelopes import located, moment_of, story, user_in
from tests.readside.harness import with_projections
from tests.readside.projection_harness import ProjectionHarness

if TYPE_CHECKING:
    from readside.projection import Projections
    from readside.queries.reader import ReadModel
    from tests.readside.harness import World

ALICE, CAROL, LAMP, DESK = (user_in(0, number) for number in range(4))
BOB, CHAIR = user_in(1), user_in(1, 1)
UNKNOWN = user_in(0, 99)
BOTH: Projections = {
    **with_projections(created_per_month.project),
    "product": tuple(
        model.project for model in (products, product_list, prices, created_per_month)
    ),
}
ALICE_CREATED = UserCreated(name="Alice", email="alice@example.com")


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AGGREGATES, PRODUCT.name, PRODUCT)


def made(sku: str, price: int = 100) -> ProductCreated:
    return ProductCreated(sku=sku, name=sku.title(), price=price)


@pytest.fixture
async def shop(harness: ProjectionHarness) -> ProjectionHarness:
    await harness.begin(BOTH)
    return harness


async def test_each_aggregate_has_its_documents_its_list_and_its_sums(
    shop: ProjectionHarness,
) -> None:
    await shop.given(ALICE_CREATED, user=ALICE)
    await shop.given(made("lamp"), PriceChanged(price=150), user=LAMP, aggregate="product")
    await shop.given(made("desk"), ProductDiscontinued(), user=DESK, aggregate="product")
    await shop.given(made("chair", 2**60), user=CHAIR, aggregate="product")
    assert await products.fetch(shop.reads, LAMP, min_version=2) == products.ProductRow(
        id=str(LAMP),
        version=2,
        created_at=moment_of(1),
        updated_at=moment_of(2),
        sku="lamp",
        name="Lamp",
        price=150,
        discontinued_at=None,
    )
    [desk] = await products.fetch_many(shop.reads, located(DESK))
    assert desk.discontinued_at == moment_of(2)
    assert await users.fetch(shop.reads, LAMP) is None
    assert await products.find(shop.reads, [ALICE, DESK, UNKNOWN]) == [desk]
    assert await products.fetch(shop.reads, ALICE) is None
    assert await product_list.count(shop.reads) == 3
    assert await user_list.count(shop.reads) == 1
    page = await product_list.page(shop.reads, PageRequest(2))
    assert (list(page.ids), page.has_more) == (sorted(map(str, (LAMP, DESK, CHAIR)))[:0:-1], True)
    cheapest = await product_list.cheapest(shop.reads, PageRequest(9))
    assert list(cheapest.ids) == [str(LAMP), str(CHAIR)]
    assert await prices.total(shop.reads) == 150 + 2**60
    assert await created_per_month.created_per_month(shop.reads) == {
        "2026-03 user": 1,
        "2026-03 product": 3,
    }


async def test_changes_of_a_product_are_seen_one_by_one(shop: ProjectionHarness) -> None:
    await shop.given(made("lamp"), user=LAMP, aggregate="product")
    changes = products.changes(shop.reads, LAMP, 1)
    await shop.given(PriceChanged(price=1), PriceChanged(price=2), user=LAMP, aggregate="product")
    rows = [await anext(changes) for _ in range(2)]
    assert [(row.version, row.price) for row in rows if row] == [(2, 1), (3, 2)]


async def test_a_field_that_a_product_did_not_have_yet_is_null_in_its_earlier_versions(
    shop: ProjectionHarness,
) -> None:
    changed = (PriceChanged(price=1), ProductDiscontinued())
    await shop.given(made("lamp"), *changed, user=LAMP, aggregate="product")
    changes = products.changes(shop.reads, LAMP, 1)
    rows = [await anext(changes) for _ in range(2)]
    assert [row.discontinued_at for row in rows if row] == [None, moment_of(3)]


async def test_an_event_of_an_unknown_aggregate_parks_it_alone(
    shop: ProjectionHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice = msgspec.structs.replace(story(UNKNOWN, ALICE_CREATED)[0], aggregate="invoice")
    await shop.deliver(UNKNOWN, [invoice])
    await shop.given(ALICE_CREATED, user=ALICE)
    [parked] = await Parked(shop.redis, Partition(0), FINGERPRINT).all()
    assert (parked.aggregate_id, parked.version, parked.type) == (str(UNKNOWN), 1, "UserCreated")
    assert parked.reason == "Undecodable: this code has no aggregate invoice"
    assert await users.fetch(shop.reads, ALICE) is not None
    # Newer code knows it.
    monkeypatch.setitem(AGGREGATES, "invoice", AGGREGATES["user"])
    await shop.applier_for(UNKNOWN).resync_aggregate(UNKNOWN)
    assert await Parked(shop.redis, Partition(0), FINGERPRINT).all() == []


async def test_an_aggregate_without_read_models_only_has_its_version(
    harness: ProjectionHarness,
) -> None:
    await harness.given(made("lamp"), PriceChanged(price=2), user=LAMP, aggregate="product")
    stored = await contents(harness.redis, harness.keys_of(LAMP))
    assert stored == {"counters": {"applied": "2"}, f"product:{LAMP}": {"version": "2"}}


async def filled(world: World) -> Any:
    world.commit(ALICE, ALICE_CREATED, UserRenamed(name="A"))
    world.commit(CAROL, UserCreated(name="C", email="c@example.com"), UserErased())
    world.commit(LAMP, made("lamp"), PriceChanged(price=150), aggregate="product")
    world.commit(DESK, made("desk"), aggregate="product")
    async with world.projector(projections=BOTH) as projector:
        await world.settle(projector)
    keys = await world.serving()
    assert keys is not None
    return keys


async def differences(world: World) -> set[tuple[str, str]]:
    findings = await world.verify(projections=BOTH).run()
    return {(one.key, one.field) for one in findings.differences}


async def test_verify_compares_all_aggregates(world: World) -> None:
    keys = await filled(world)
    assert (await world.verify(projections=BOTH).run()).aggregates == 4
    assert await differences(world) == set()
    await world.redis.hset(keys.document("product", LAMP), "price", "1")
    await world.redis.hset(keys.document("product", UNKNOWN), "sku", "none")
    await world.redis.hset(keys.document("user", DESK), "name", "Desk")
    await world.redis.zadd(keys.index("products"), {str(ALICE): 0})
    await world.redis.hset(keys.shared_key("created"), "2026-03 user", "2")
    assert await differences(world) == {
        ("product", "price"),
        ("product", ""),
        ("user", ""),
        ("products", str(ALICE)),
        ("products", "(members)"),
        ("created", "2026-03 user"),
    }
    lamp, sums = (await world.verify(projections=BOTH).of_aggregate(LAMP)).differences
    assert (lamp.key, lamp.should, lamp.found) == ("product", "150", "1")
    assert (sums.key, sums.field, sums.found) == ("created", "2026-03 user", "2")


async def test_a_lost_product_is_resynced_when_it_is_read(world: World, reads: ReadModel) -> None:
    keys = await filled(world)
    before = await contents(world.redis, keys)
    await world.redis.delete(keys.document("product", LAMP))
    with pytest.raises(ReadModelRebuilding):
        await products.fetch(reads, LAMP, min_version=1)
    async with world.projector(projections=BOTH) as projector:
        await world.settle(projector)
        await world.settle(projector)
    after = await contents(world.redis, keys)
    assert before.pop("counters") != after.pop("counters")  # the number of events applied
    assert after == before


async def test_a_rebuild_ends_with_the_same_contents(world: World) -> None:
    keys = await filled(world)
    by_event = await contents(world.redis, keys)
    await world.steering(projections=BOTH).rebuild()
    rebuilt = await world.serving()
    assert rebuilt is not None
    assert rebuilt != keys
    assert await contents(world.redis, rebuilt) == by_event


async def test_the_activation_guard_counts_the_aggregates_of_all_kinds(world: World) -> None:
    keys = await filled(world)
    guard = activation_guard.ActivationGuard(world.redis, Partition(0), 1, FINGERPRINT)
    newer = await world.generations().create("projector")
    assert newer is not None
    await world.redis.hset(newer.parked, mapping=dict.fromkeys(map(str, range(11)), "{}"))
    with pytest.raises(activation_guard.TooManyParked) as held:
        await guard.check(newer)
    assert (held.value.excess.more, held.value.excess.aggregates) == (11, 3)
    assert await world.serving() == keys


OLD_ENTRY = b"""{"user_id":"%s","version":2,"type":"UserErased","schema":1,"data":{},
    "occurred_at":"2026-03-01T12:02:00Z"}"""


async def test_an_erasure_that_older_code_appended_is_one(shop: ProjectionHarness) -> None:
    await shop.given(ALICE_CREATED, user=ALICE)
    erased = msgspec.json.decode(OLD_ENTRY % str(ALICE).encode(), type=Envelope)
    assert (erased.aggregate, erased.final, erased.is_final) == ("user", False, True)
    await shop.deliver(ALICE, [erased])
    keys = shop.keys_of(ALICE)
    assert await shop.redis.hgetall(keys.document("user", ALICE)) == {"version": "2"}
    assert await created_per_month.created_per_month(shop.reads) == {}
