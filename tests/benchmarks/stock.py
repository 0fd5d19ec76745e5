"""The yardstick: the same `user` query as a stock strawberry ASGI app over redis-py would serve it.

Set up as the documentation of both shows it, nothing tuned and nothing spoilt: one hash for each
user, HGETALL, no caches. `uvicorn --factory tests.benchmarks.stock:create_app` runs it.
"""

from __future__ import annotations

import os
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import msgspec
import strawberry
from redis.asyncio import Redis
from strawberry.asgi import GraphQL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.benchmarks.questions import User as Answered


@strawberry.type
class User:
    id: strawberry.ID
    name: str
    email: str
    created_at: datetime
    updated_at: datetime
    version: int
    order_count: int
    lifetime_value: Decimal


def connect(redis_url: str) -> Redis:
    return Redis.from_url(redis_url, decode_responses=True)


def key(user_id: str) -> str:
    return f"stock:user:{user_id}"


async def write(redis: Redis, users: Iterable[Answered]) -> None:
    """Stores what Tandem answered for these users, for the stock app to read."""
    async with redis.pipeline(transaction=False) as pipeline:
        for user in users:
            fields: dict[Any, Any] = msgspec.structs.asdict(user)
            pipeline.hset(key(user.id), mapping=fields)
        await pipeline.execute()


def create_app() -> GraphQL[None, None]:
    redis = connect(os.environ["REDIS_URL"])

    @strawberry.type
    class Query:
        @strawberry.field
        async def user(self, id: strawberry.ID) -> User | None:  # noqa: A002
            stored = cast("dict[str, str]", await redis.hgetall(key(id)))
            return _user(stored) if stored else None

    return GraphQL(strawberry.Schema(Query))


def _user(stored: dict[str, str]) -> User:
    return User(
        id=strawberry.ID(stored["id"]),
        name=stored["name"],
        email=stored["email"],
        created_at=datetime.fromisoformat(stored["created_at"]),
        updated_at=datetime.fromisoformat(stored["updated_at"]),
        version=int(stored["version"]),
        order_count=int(stored["order_count"]),
        lifetime_value=Decimal(stored["lifetime_value"]),
    )
