"""What the events mean, said once more and independently: the checker compares everything with this.

Nothing here is shared with the code under test but the names of partitions and keys: a mistake that both had
would hide.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Any
from uuid import UUID
from zlib import crc32

import msgspec

from tests.chaos import product_model
from tests.chaos.evidence import Logged
from tests.chaos.product_model import ProductState, written

UNKNOWN = None
"""A name or an address that was blanked, and that no command of the history tells us."""

BLANK = ""
"""What an erasure leaves of a name or an address in the log."""


INDEXES = ("emails", "names", "lifetime-values")
"""Sorted sets, and beside each a hash of what every user has in it."""

SHARED = ("users", "orders-by-id", *INDEXES, *(f"{name}-of" for name in INDEXES))
"""Keys of all users of a partition."""


REMEMBERED = 99
"""Versions of a user of which it is kept what they changed, for whoever watches it."""


def kept(key: str) -> str:
    """What the write model keeps of an idempotency key."""
    return sha256(key.encode()).hexdigest()


class State(msgspec.Struct, frozen=True):
    """A user after one of its events."""

    version: int
    name: str | None
    email: str | None
    created: datetime
    updated: datetime
    orders: int
    value: int
    """Of the completed orders, in minor units."""
    ended: datetime | None = None
    """When it was erased."""

    @property
    def erased(self) -> bool:
        return self.ended is not None


class Placed(msgspec.Struct):
    """An order as it is in the end."""

    user: str
    version: int
    """The user's, at the placement."""
    total: int
    placed: datetime
    status: str = "OPEN"
    closed: datetime | None = None


class Story(msgspec.Struct):
    """All that happened to one user or product."""

    aggregate: str = "user"
    states: list[Any] = []
    """Of State, or of ProductState."""
    orders: dict[str, Placed] = {}
    problems: list[str] = []

    @property
    def last(self) -> Any:
        return self.states[-1]


Personal = dict[tuple[str, int], dict[str, str]]
"""What the commands say about names and addresses that the log has blanked, by user and version."""


def fold(events: Iterable[Logged], personal: Personal) -> dict[str, Story]:
    """The story of every user and product; the events come by their ids and versions."""
    stories: dict[str, Story] = {}
    for event in events:
        new = Story(aggregate=event.aggregate, states=[], orders={}, problems=[])
        story = stories.setdefault(event.user, new)
        if event.version != len(story.states) + 1:
            story.problems.append(f"version {event.version} follows {len(story.states)}")
            continue
        try:
            story.states.append(_after(story, event, personal))
        except (KeyError, TypeError, ValueError) as error:
            story.problems.append(
                f"version {event.version} ({event.type}) makes no sense: {error!r}"
            )
            if story.states:
                story.states.append(msgspec.structs.replace(story.last, version=event.version))
    return stories


def _after(story: Story, event: Logged, personal: Personal) -> State | ProductState:
    if event.aggregate != story.aggregate:
        raise ValueError(f"an event of a {event.aggregate} among those of a {story.aggregate}")
    if story.aggregate == "product":
        return product_model.after(story.last if story.states else None, event)
    return _user_after(story, event, personal)


def _user_after(story: Story, event: Logged, personal: Personal) -> State:
    told = personal.get((event.user, event.version), {})
    data: dict[str, Any] = {
        field: told.get(field, UNKNOWN) if value == BLANK else value
        for field, value in event.data.items()
    }
    if event.type == "UserCreated":
        if story.states:
            raise ValueError("created twice")
        return State(1, data["name"], data["email"], event.at, event.at, 0, 0)
    if not story.states:
        raise ValueError("nobody was created")
    before: State = story.last
    if before.erased:
        raise ValueError("something happened after the erasure")
    changes: dict[str, Any] = {"version": event.version, "updated": event.at}
    match event.type:
        case "UserRenamed":
            changes["name"] = data["name"]
        case "UserEmailUpdated":
            changes["email"] = data["email"]
        case "UserErased":
            changes |= {"ended": event.at, "name": "", "email": ""}
        case "OrderPlaced":
            story.orders[data["order_id"]] = Placed(
                event.user, event.version, data["total"], event.at
            )
            changes["orders"] = before.orders + 1
        case "OrderCompleted":
            changes["value"] = (
                before.value + _close(story, data["order_id"], "COMPLETED", event).total
            )
        case "OrderCancelled":
            _close(story, data["order_id"], "CANCELLED", event)
        case other:
            raise ValueError(f"nobody knows {other}")
    return msgspec.structs.replace(before, **changes)


def _close(story: Story, order_id: str, status: str, event: Logged) -> Placed:
    order = story.orders[order_id]
    if order.status != "OPEN":
        raise ValueError(f"order {order_id} was {order.status}")
    order.status, order.closed = status, event.at
    return order


@lru_cache(maxsize=500_000)
def partition_of(user: str, partitions: int) -> int:
    return crc32(UUID(user).bytes) % partitions


def read_model(
    stories: dict[str, Story], partitions: int, *, products: bool
) -> list[dict[str, Any]]:
    """Of each partition every key that a generation must have, without its prefix, and the value.

    `products`: in a service that has both aggregates.
    """
    names = SHARED + product_model.SHARED
    found: list[dict[str, Any]] = [{name: {} for name in names} for _ in range(partitions)]
    for id_, story in stories.items():
        if story.states:
            keys = found[partition_of(id_, partitions)]
            if story.aggregate == "product":
                product_model.add(keys, id_, story.states, REMEMBERED)
            else:
                _add(keys, id_, story)
                if products and not story.last.erased:
                    product_model.add_created(keys, id_, "user", story.last.created)
    for keys in found:
        product_model.add_sums(keys)
    return [{name: value for name, value in keys.items() if value} for keys in found]


def _add(keys: dict[str, Any], user: str, story: Story) -> None:
    last = story.last
    keys[f"user:{user}"] = _hash(last, sum(bool(one.closed) for one in story.orders.values()))
    if last.erased:
        return
    address = str(last.email).lower()
    if changes := [_change(*pair) for pair in pairwise(story.states)]:
        keys[f"recent:{user}"] = changes[-REMEMBERED:]
    keys["users"][user] = 0.0
    name, value = str(last.name).casefold(), str(last.value)
    for index, key, text in (
        ("emails", address, address),
        ("names", name, name),
        ("lifetime-values", value.rjust(19, "0"), value),
    ):
        keys[index][f"{key}\t{user}"] = 0.0
        keys[f"{index}-of"][user] = text
    if story.orders:
        keys[f"orders:{user}"] = dict(_placed(story.orders))
    for order_id, order in story.orders.items():
        keys["orders-by-id"][f"{order_id} {order.version} {user}"] = 0.0
    if ends := dict(_ends(story.orders)):
        keys[f"closed:{user}"] = ends


def _hash(last: State, closed: int) -> dict[str, str]:
    if last.erased:
        return {"version": str(last.version)}
    found = {
        "version": str(last.version),
        "name": str(last.name),
        "email": str(last.email),
        "createdAt": written(last.created),
        "updatedAt": written(last.updated),
        "orderCount": str(last.orders) if last.orders else None,
        "lifetimeValue": str(last.value) if last.value else None,
        "closedCount": str(closed) if closed else None,
    }
    return {field: value for field, value in found.items() if value is not None}


def _change(before: State, after: State) -> list[str | bool]:
    """What was before; what was not written yet is false: so Redis says it in JSON."""
    change: list[str | bool] = [str(after.version), written(before.updated)]
    if after.name != before.name:
        change += ["name", str(before.name)]
    if after.email != before.email:
        change += ["email", str(before.email)]
    if after.orders != before.orders:
        change += ["orderCount", str(before.orders) if before.orders else False]
    if after.value != before.value:
        change += ["lifetimeValue", str(before.value) if before.value else False]
    return change


def _placed(orders: dict[str, Placed]) -> Iterable[tuple[str, float]]:
    for order_id, order in orders.items():
        yield f"{order_id} {order.total} {_milliseconds(order.placed)}", float(order.version)


def _ends(orders: dict[str, Placed]) -> Iterable[tuple[str, str]]:
    for order_id, order in orders.items():
        if order.closed is not None:
            yield order_id, f"{order.status} {written(order.closed)}"


def _milliseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
