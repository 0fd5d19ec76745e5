"""The yardstick: the same queries as a stock strawberry ASGI app over redis-py would serve them.

Set up as the documentation of both shows it, nothing tuned and nothing spoilt: the very hashes that Tandem
reads, HGETALL, no caches. `PREFIXES` is a JSON list: how the keys of each partition begin.
`uvicorn --factory tests.benchmarks.stock:create_app` runs it.
"""

from __future__ import annotations

import json
import os
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NewType, cast
from uuid import UUID

import strawberry
from redis.asyncio import Redis
from strawberry.asgi import GraphQL
from strawberry.schema.config import StrawberryConfig
from strawberry.types.scalar import ScalarDefinition

EmailAddress = NewType("EmailAddress", str)
Money = NewType("Money", str)


def _date_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(name="DateTime", serialize=_date_time),
    EmailAddress: strawberry.scalar(name="EmailAddress"),
    Money: strawberry.scalar(name="Money"),
}


@strawberry.type
class User:
    id: strawberry.ID
    name: str
    email: EmailAddress
    created_at: datetime
    updated_at: datetime
    version: int
    order_count: int
    lifetime_value: Money


@strawberry.type
class UserEdge:
    cursor: str
    node: User


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type
class UserConnection:
    edges: list[UserEdge]
    nodes: list[User]
    page_info: PageInfo


def connect(redis_url: str) -> Redis:
    return Redis.from_url(redis_url, decode_responses=True)


@dataclass(frozen=True)
class ReadModel:
    redis: Redis
    prefixes: list[str]

    async def user(self, user_id: str) -> User | None:
        number = zlib.crc32(UUID(user_id).bytes) % len(self.prefixes)
        key = f"{self.prefixes[number]}:user:{user_id}"
        stored = cast("dict[str, str]", await self.redis.hgetall(key))
        return _user(user_id, stored) if stored else None

    async def users(self, first: int, after: str | None) -> UserConnection:
        ids = await self._ids(first + 1, "+" if after is None else f"({_place(after)}")
        nodes = await self._many(ids[:first])
        edges = [UserEdge(cursor=_cursor(node.id), node=node) for node in nodes]
        page_info = PageInfo(
            has_next_page=len(ids) > first,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        )
        return UserConnection(edges=edges, nodes=nodes, page_info=page_info)

    async def _ids(self, count: int, newest: str) -> list[str]:
        async with self.redis.pipeline(transaction=False) as pipeline:
            for prefix in self.prefixes:
                pipeline.zrange(
                    f"{prefix}:users", newest, "-", desc=True, bylex=True, offset=0, num=count
                )
            found = await pipeline.execute()
        return sorted((user for users in found for user in users), reverse=True)

    async def _many(self, ids: list[str]) -> list[User]:
        async with self.redis.pipeline(transaction=False) as pipeline:
            for user_id in ids:
                number = zlib.crc32(UUID(user_id).bytes) % len(self.prefixes)
                pipeline.hgetall(f"{self.prefixes[number]}:user:{user_id}")
            found = await pipeline.execute()
        return [_user(user_id, stored) for user_id, stored in zip(ids, found, strict=True)]


def create_app() -> GraphQL[None, None]:
    model = ReadModel(connect(os.environ["REDIS_URL"]), json.loads(os.environ["PREFIXES"]))

    @strawberry.type
    class Query:
        @strawberry.field
        async def user(self, id: strawberry.ID) -> User | None:  # noqa: A002
            return await model.user(id)

        @strawberry.field
        async def users(self, first: int = 20, after: str | None = None) -> UserConnection:
            return await model.users(first, after)

    return GraphQL(strawberry.Schema(Query, config=StrawberryConfig(scalar_map=SCALARS)))


def _cursor(user_id: str) -> str:
    return urlsafe_b64encode(user_id.encode()).decode().rstrip("=")


def _place(after: str) -> str:
    return urlsafe_b64decode(after + "=" * (-len(after) % 4)).decode()


def _user(user_id: str, stored: dict[str, str]) -> User:
    minor = int(stored.get("lifetimeValue", "0"))
    return User(
        id=strawberry.ID(user_id),
        name=stored["name"],
        email=EmailAddress(stored["email"]),
        created_at=datetime.fromisoformat(stored["createdAt"]),
        updated_at=datetime.fromisoformat(stored["updatedAt"]),
        version=int(stored["version"]),
        order_count=int(stored.get("orderCount", "0")),
        lifetime_value=Money(f"{minor // 100}.{minor % 100:02}"),
    )
