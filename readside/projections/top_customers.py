"""The customers by lifetime value: in each partition a sorted set of ids by the total of completed orders."""

from __future__ import annotations

from typing import assert_never

from domain.users import events
from readside.projection import Command, ProjectedEvent
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import pack
from readside.redis_functions.keys import Keys


def project(keys: Keys, event: ProjectedEvent[events.UserEvent]) -> list[Command]:
    customers = keys.shared_key("customers")
    match event.data:
        case events.OrderCompleted(total=total):
            return [("ZINCRBY", customers, str(total), event.aggregate_id)]
        case events.UserCreated() | events.UserErased():
            # Created: a replay begins here, and must not count orders twice.
            return [("ZREM", customers, event.aggregate_id)]
        case (
            events.UserEmailUpdated()
            | events.UserRenamed()
            | events.OrderPlaced()
            | events.OrderCancelled()
        ):
            return []
        case _:
            assert_never(event.data)


async def top(read_model: ReadModel, first: int) -> dict[str, int]:
    """Returns the ids of the `first` customers with the highest lifetime value, each with its partition.

    Users without completed orders are not included; of two with the same value the younger comes first.
    Raises ReadModelError.
    """
    replies = await read_model.read_all(
        lambda keys: [
            pack(("ZREVRANGE", keys.shared_key("customers"), "0", str(first - 1), "WITHSCORES"))
        ]
    )
    ranked = sorted(
        (
            (int(float(score)), user, number)
            for number, [flat] in enumerate(replies)
            for user, score in zip(flat[::2], flat[1::2], strict=True)
        ),
        reverse=True,
    )
    return {user: number for _, user, number in ranked[:first]}
