"""Mutants that harm products or sums; the checker must find each, and say so of them."""

from __future__ import annotations

from typing import Any

from domain.write.database import WriteDatabase
from readside.stored_document import StoredDocument
from tests.chaos.mutation import get, lua, put


def first_price_kept() -> None:
    """The read model shows the price with which a product was created."""
    changed = get(StoredDocument, "changed")

    def without_price(self: Any, keys: Any, event: Any, **fields: Any) -> Any:
        fields.pop("price", None)
        return changed(self, keys, event, **fields)

    put(StoredDocument, "changed", without_price)


def contributions_not_withdrawn() -> None:
    """A new contribution to a sum is added to the previous one, which stays."""
    lua("for i, one in ipairs(before) do changes[i] = {one[1], one[2], true} end")


def no_unique_sku() -> None:
    """The table of products has no unique constraint."""
    fetch = get(WriteDatabase, "_fetch")
    drop = "alter table products drop constraint if exists products_sku_key"
    dropped = False

    async def unconstrained(self: WriteDatabase, text: str, given: Any, **mode: bool) -> Any:
        nonlocal dropped
        if not dropped:
            dropped = True
            await fetch(self, drop, (), **mode)
        return await fetch(self, text, given, **mode)

    put(WriteDatabase, "_fetch", unconstrained)


SHOWN = {
    first_price_kept: "product:",
    contributions_not_withdrawn: ", prices:",
    no_unique_sku: "have both 'SKU-",
}
"""What a violation of each says."""

MUTANTS = {patch.__name__: patch for patch in SHOWN}
