"""Commands on a second aggregate, which the machinery of the write side does not know by name."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pytest

from domain.command import CommandResult
from domain.ids import new_id
from domain.log.audit import Audit
from domain.log.event_log import EventLog
from domain.log.skipped_events import can_be_skipped
from domain.refusal import IdempotencyKeyReused, VersionConflict
from domain.users.aggregate import USER
from domain.users.commands.erase_user import EraseUser
from domain.users.commands.rename_user import RenameUser
from domain.users.events import UserId
from domain.users.refusals import UserNotFound
from domain.write.bulk_insert import bulk_insert
from domain.write.rows import load_statement
from domain.write.sql import write_statement
from tests.chaos.proxy import COMMIT
from tests.domain.write_model import create
from tests.products.domain.aggregate import PRODUCT
from tests.products.domain.commands import ChangePrice, CreateProduct, DiscontinueProduct
from tests.products.domain.events import (
    PriceChanged,
    ProductCreated,
    ProductDiscontinued,
    ProductId,
)
from tests.products.domain.refusals import ProductIsDiscontinued, ProductNotFound, SkuTaken

if TYPE_CHECKING:
    from tests.chaos.proxy import Proxy
    from tests.domain.write_model import WriteModel

EVERYTHING = """
    select t::text as row from products t union all select e::text from events e where aggregate = 'product'
    order by row
"""


def product(sku: str = "A-1", key: str | None = None, price: int = 1250) -> CreateProduct:
    return CreateProduct(
        product_id=ProductId(new_id()), sku=sku, name="Lamp", price=price, idempotency_key=key
    )


async def created(model: WriteModel, sku: str = "A-1") -> ProductId:
    return ProductId((await model.ask(product(sku))).aggregate_id)


async def mismatches(model: WriteModel) -> set[tuple[str, str]]:
    pages = [page async for page in Audit(model.pool).run()]
    return {(one.table, one.field) for page in pages for one in page}


async def test_commands_on_a_product_write_its_row_and_its_events(model: WriteModel) -> None:
    product_id = await created(model)
    changed = await model.ask(ChangePrice(product_id=product_id, price=990, expected_version=1))
    ended = await model.ask(DiscontinueProduct(product_id=product_id))
    assert (changed.version, ended) == (
        2,
        CommandResult(id=product_id, aggregate_id=product_id, version=3),
    )
    assert await model.history(product_id) == [
        ProductCreated(sku="A-1", name="Lamp", price=1250),
        PriceChanged(price=990),
        ProductDiscontinued(),
    ]
    await model.assert_tables_are_the_fold_of_the_log()
    newest = await EventLog(model.pool).newest(product_id)
    assert newest is not None
    assert (newest.aggregate, newest.version, newest.is_final) == ("product", 3, False)


async def test_a_command_that_changes_nothing_writes_nothing(model: WriteModel) -> None:
    product_id = await created(model)
    await model.ask(DiscontinueProduct(product_id=product_id))
    before = await model.dump()
    assert (await model.ask(ChangePrice(product_id=product_id, price=1250))).version == 2
    assert (await model.ask(DiscontinueProduct(product_id=product_id))).version == 2
    assert await model.dump() == before


async def test_refusals_of_products_are_their_own(model: WriteModel) -> None:
    product_id = await created(model)
    user_id = await model.user()
    assert await model.refused(product()) == SkuTaken()
    unknown = ProductId(UUID(int=7))
    assert await model.refused(DiscontinueProduct(product_id=unknown)) == ProductNotFound()
    of_a_user = ChangePrice(product_id=ProductId(user_id), price=1)
    assert await model.refused(of_a_user) == ProductNotFound()
    of_a_product = RenameUser(user_id=UserId(product_id), name="Lamp")
    assert await model.refused(of_a_product) == UserNotFound()
    stale = ChangePrice(product_id=product_id, price=1, expected_version=3)
    assert await model.refused(stale) == VersionConflict(expected=3, actual=1)
    await model.ask(DiscontinueProduct(product_id=product_id))
    late = ChangePrice(product_id=product_id, price=1)
    assert await model.refused(late) == ProductIsDiscontinued()


async def test_a_repeated_key_has_the_stored_result(model: WriteModel) -> None:
    first = await model.ask(product(key="k"))
    change = ChangePrice(product_id=ProductId(first.id), price=990, idempotency_key="change")
    changed = await model.ask(change)
    await model.ask(DiscontinueProduct(product_id=ProductId(first.id)))
    assert await model.ask(product(key="k")) == first
    assert await model.ask(change) == changed
    assert await model.count("products") == 1
    assert await model.count("events") == 3


async def test_a_key_of_another_request_is_refused_whichever_aggregate_it_was_about(
    model: WriteModel,
) -> None:
    await model.ask(product(key="k"))
    await model.ask(create("Alice", "alice@example.com", key="u"))
    assert await model.refused(product(key="k", price=1)) == IdempotencyKeyReused()
    assert await model.refused(product(sku="B-2", key="u")) == IdempotencyKeyReused()
    bob = create("Bob", "bob@example.com", key="k")
    assert await model.refused(bob) == IdempotencyKeyReused()


async def test_a_stock_keeping_unit_is_compared_also_without_a_secret(model: WriteModel) -> None:
    """It is declared as not personal, unlike a text of a command that no event declares."""
    assert product("A-1").request_digest(None) != product("B-2").request_digest(None)
    assert len(product().request_digest(UUID(int=1))) == 32


async def test_concurrent_creates_are_one_statement_for_each_aggregate(
    wire: Proxy, model: WriteModel
) -> None:
    products = [product(f"A-{n}", key=f"k{n}") for n in range(8)]
    users = [create("Alice", f"a{n}@example.com") for n in range(8)]
    mixed = [command for pair in zip(products, users, strict=True) for command in pair]
    results = await asyncio.gather(*map(model.ask, mixed))
    assert [one.id for one in results] == [command.target.id for command in mixed]
    written = {text: number for text, number in wire.asked.items() if COMMIT in text}
    assert written == {bulk_insert(PRODUCT): 1, bulk_insert(USER): 1}
    await model.assert_tables_are_the_fold_of_the_log()
    assert await mismatches(model) == set()


async def test_of_concurrent_creates_with_one_sku_one_succeeds(model: WriteModel) -> None:
    results = await asyncio.gather(
        *(model.store.execute(product("A-1", key=f"k{n}")) for n in range(8))
    )
    kinds = Counter(type(result) for result in results)
    assert kinds == {SkuTaken: 7, CommandResult: 1}
    assert await model.count("products") == await model.count("commands") == 1


async def test_a_command_on_a_product_is_one_statement_to_read_and_one_to_write(
    wire: Proxy, model: WriteModel
) -> None:
    product_id = await created(model)
    await model.ask(ChangePrice(product_id=product_id, price=1))
    wire.asked.clear()
    await model.ask(ChangePrice(product_id=product_id, price=990))
    changed = write_statement(
        PRODUCT, creates=False, children=(), removed=(), keyed=False, erases=False, events=1
    )
    assert wire.asked == {load_statement(PRODUCT, None): 1, changed: 1}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("update products set price = 1", {("products", "price")}),
        ("update products set sku = 'B-2'", {("products", "sku")}),
        (
            "update events set aggregate = 'gadget' where aggregate = 'product'",
            {("events", "version 1"), ("events", "aggregate")},
        ),
        ("delete from products", {("products", "")}),
        ("alter table products add column weight bigint", {("products", "weight")}),
    ],
)
async def test_the_audit_names_what_differs(
    model: WriteModel, statement: str, found: set[tuple[str, str]]
) -> None:
    await created(model)
    await model.user()
    await model.pool.execute(statement)
    assert await mismatches(model) == found


async def test_an_erased_user_leaves_the_products_as_they_were(model: WriteModel) -> None:
    await model.ask(DiscontinueProduct(product_id=await created(model)))
    user_id = await model.user()
    before = await model.rows(EVERYTHING)
    await model.ask(EraseUser(user_id=user_id))
    assert await model.rows(EVERYTHING) == before
    assert "Lamp" in await model.dump()
    assert "Alice" not in await model.dump()


async def test_the_first_event_of_a_product_is_indispensable(model: WriteModel) -> None:
    assert not can_be_skipped("product", "ProductCreated")
    assert can_be_skipped("product", "ProductDiscontinued")
    assert not can_be_skipped("gadget", "GadgetBent")


def test_its_columns_are_the_fields_of_its_state() -> None:
    assert PRODUCT.root.columns == {
        "id": "uuid",
        "version": "bigint",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "erased_at": "timestamptz",
        "secret": "uuid",
        "sku": "text",
        "name": "text",
        "price": "bigint",
        "discontinued_at": "timestamptz",
    }
    assert (
        msgspec.structs.asdict(PRODUCT.state(id=UUID(int=1))).keys() == PRODUCT.root.columns.keys()
    )
