"""What the events of products mean, beside model.py, which says what those of users mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tests.chaos.evidence import Logged

SHARED = (
    *("products", "products-by-price", "products-by-price-of", "prices", "prices-of"),
    *("created", "created-of"),
)
"""Keys of all products of a partition; the last two are also of its users."""


SUMS = ("prices", "created")
"""Grouped sums; beside each is a hash of what every member contributes."""


class ProductState(msgspec.Struct, frozen=True):
    """A product after one of its events."""

    version: int
    sku: str
    name: str
    price: int
    """In minor units."""
    created: datetime
    updated: datetime
    discontinued: datetime | None = None

    @property
    def erased(self) -> bool:
        return False


def after(before: ProductState | None, event: Logged) -> ProductState:
    data = event.data
    if event.type == "ProductCreated":
        if before is not None:
            raise ValueError("created twice")
        return ProductState(1, data["sku"], data["name"], data["price"], event.at, event.at)
    if before is None:
        raise ValueError("no product was created")
    if before.discontinued is not None:
        raise ValueError("something happened after the end")
    changes: dict[str, Any] = {"version": event.version, "updated": event.at}
    match event.type:
        case "PriceChanged":
            changes["price"] = data["price"]
        case "ProductDiscontinued":
            changes["discontinued"] = event.at
        case other:
            raise ValueError(f"no product knows {other}")
    return msgspec.structs.replace(before, **changes)


def add(keys: dict[str, Any], product: str, states: list[ProductState], remembered: int) -> None:
    """Adds what a generation has of a product to its keys."""
    last = states[-1]
    keys[f"product:{product}"] = {
        "version": str(last.version),
        "sku": last.sku,
        "name": last.name,
        "price": str(last.price),
        "createdAt": written(last.created),
        "updatedAt": written(last.updated),
        **({"discontinuedAt": written(last.discontinued)} if last.discontinued else {}),
    }
    if changes := [_change(*pair) for pair in pairwise(states)]:
        keys[f"recent-prices:{product}"] = changes[-remembered:]
    keys["products"][product] = 0.0
    if last.discontinued is None:
        keys["prices-of"][product] = f"{last.price} sold"
        keys["products-by-price"][f"{last.price:019}\t{product}"] = 0.0
        keys["products-by-price-of"][product] = str(last.price)
    add_created(keys, product, "product", last.created)


def add_created(keys: dict[str, Any], id_: str, aggregate: str, created: datetime) -> None:
    """Adds that it was created in its month."""
    keys["created-of"][id_] = f"1 {created.astimezone(UTC):%Y-%m} {aggregate}"


def add_sums(keys: dict[str, Any]) -> None:
    """Adds the sums of what all users and products of a partition contribute."""
    for name in SUMS:
        sums = Counter[str]()
        for contribution in keys[f"{name}-of"].values():
            amount, _, group = contribution.partition(" ")
            sums[group] += int(amount)
        keys[name] = {group: str(total) for group, total in sums.items()}


def _change(before: ProductState, after: ProductState) -> list[str | bool]:
    change: list[str | bool] = [str(after.version), written(before.updated)]
    if after.discontinued is not None:
        change += ["discontinuedAt", False]
    else:  # also if it is the same
        change += ["price", str(before.price)]
    return change


def rows(states: Iterable[tuple[str, ProductState]]) -> dict[str, dict[str, Any]]:
    """Returns the rows of the table, by id, without secrets."""
    return {
        product: {
            "version": last.version,
            "sku": last.sku,
            "name": last.name,
            "price": last.price,
            "created_at": last.created,
            "updated_at": last.updated,
            "erased_at": None,
            "discontinued_at": last.discontinued,
        }
        for product, last in states
    }


def written(at: datetime) -> str:
    """Returns an instant as Redis holds it."""
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
