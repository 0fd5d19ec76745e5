"""The customers by lifetime value: in each partition a sorted set of ids by the total of completed orders."""

from __future__ import annotations

from typing import assert_never

from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserRenamed,
)
from readside.projection import Command, ProjectedEvent
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import pack
from readside.redis_functions.keys import Keys


def project(keys: Keys, happened: ProjectedEvent) -> list[Command]:
    match happened.data:
        case OrderCompleted(total=total):
            return [("ZINCRBY", keys.shared_key("customers"), str(total), happened.user_id)]
        case UserCreated() | UserErased():
            # Created: a user whose hash was lost is projected anew from here, and is not to count twice.
            return [("ZREM", keys.shared_key("customers"), happened.user_id)]
        case UserEmailUpdated() | UserRenamed() | OrderPlaced() | OrderCancelled():
            return []
        case _:
            assert_never(happened.data)


async def top(reads: ReadModel, first: int) -> dict[str, int]:
    """The ids of the `first` customers of the highest lifetime value, each with its partition.

    None who has completed no order; of two with the same value the younger comes first.
    Raises ReadModelError.
    """
    found = await reads.ask_all(
        lambda keys: [
            pack(("ZREVRANGE", keys.shared_key("customers"), "0", str(first - 1), "WITHSCORES"))
        ]
    )
    ranked = sorted(
        (
            (int(float(score)), user, number)
            for number, [flat] in enumerate(found)
            for user, score in zip(flat[::2], flat[1::2], strict=True)
        ),
        reverse=True,
    )
    return {user: number for _, user, number in ranked[:first]}
