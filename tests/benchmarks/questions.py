"""The GraphQL documents that the benchmark sends, and the check of every answer."""

from __future__ import annotations

import asyncio
import base64
import uuid
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from tests.benchmarks.wire import AnswerError, connections

if TYPE_CHECKING:
    from tests.benchmarks.wire import Connection

FIELDS = "id name email createdAt updatedAt version orderCount lifetimeValue"
PAGE_SIZE = 20
CREATING = 16
"""Connections over which users are created."""
CREATE_USER = (
    "mutation Create($input: CreateUserInput!) { createUser(input: $input) { id version } }"
)
CREATE_PRODUCT = (
    "mutation Create($input: CreateProductInput!) { createProduct(input: $input) { id version } }"
)
PLACE_ORDER = (
    "mutation Place($input: PlaceOrderInput!) { placeOrder(input: $input) { id version } }"
)
COMPLETE_ORDER = (
    "mutation Complete($id: ID!) { completeOrder(input: {orderId: $id}) { id version } }"
)
RENAME_USER = "mutation Rename($input: RenameUserInput!) { renameUser(input: $input) { version } }"
USER_CHANGED = f"subscription Changed($id: ID!) {{ userChanged(id: $id) {{ {FIELDS} }} }}"
USER = f"query One($id: ID!) {{ user(id: $id) {{ {FIELDS} }} }}"
USER_AT_LEAST = f"query One($id: ID!) {{ user(id: $id, minVersion: 1) {{ {FIELDS} }} }}"
PAGE = (
    f"query Page($after: String) {{ users(first: {PAGE_SIZE}, after: $after) "
    f"{{ nodes {{ {FIELDS} }} pageInfo {{ hasNextPage endCursor }} }} }}"
)

Data = TypeVar("Data")


class Answer(msgspec.Struct, Generic[Data]):
    data: Data | None = None
    errors: msgspec.Raw = msgspec.Raw()


class User(msgspec.Struct, rename="camel"):
    id: str
    name: str
    email: str
    created_at: str
    updated_at: str
    version: int
    order_count: int
    lifetime_value: str


class OneUser(msgspec.Struct):
    user: User | None


class Created(msgspec.Struct):
    id: str


class CreatedUser(msgspec.Struct, rename="camel"):
    create_user: Created | None


class Renamed(msgspec.Struct):
    version: int


class RenamedUser(msgspec.Struct, rename="camel"):
    rename_user: Renamed | None


class PlacedOrder(msgspec.Struct, rename="camel"):
    place_order: Created | None


class PageInfo(msgspec.Struct, rename="camel"):
    has_next_page: bool
    end_cursor: str | None


class Page(msgspec.Struct, rename="camel"):
    nodes: list[User]
    page_info: PageInfo


class OnePage(msgspec.Struct):
    users: Page


_one_user = msgspec.json.Decoder(Answer[OneUser])
_created_user = msgspec.json.Decoder(Answer[CreatedUser])
_renamed_user = msgspec.json.Decoder(Answer[RenamedUser])
_one_page = msgspec.json.Decoder(Answer[OnePage])


def body(query: str, **variables: object) -> bytes:
    return msgspec.json.encode({"query": query, "variables": variables})


def cursor(user_id: str) -> str:
    """The cursor behind this user in the list of all."""
    return base64.urlsafe_b64encode(user_id.encode()).decode().rstrip("=")


def _data(decoder: msgspec.json.Decoder[Answer[Data]], answered: bytes) -> Data:
    try:
        answer = decoder.decode(answered)
    except msgspec.DecodeError as error:
        raise AnswerError(f"{error}: {answered[:200]!r}") from error
    if answer.data is None or bytes(answer.errors) not in (b"", b"null"):
        raise AnswerError(f"errors: {answered[:300]!r}")
    return answer.data


async def create_user(connection: Connection, name: str) -> str:
    asked = body(CREATE_USER, input={"name": name, "email": f"{name}@example.com"})
    created = _data(_created_user, await connection.post(asked)).create_user
    if created is None:
        raise AnswerError("createUser answered null without an error")
    return created.id


async def create_users(url: str, count: int) -> list[str]:
    """The ids of so many new users."""
    numbers, prefix, ids = iter(range(count)), uuid.uuid4().hex[:12], []

    async def some(connection: Connection) -> None:
        for number in numbers:
            user = await create_user(connection, f"{prefix}-{number}")
            ids.append(user)

    async with connections(url, CREATING) as opened:
        await asyncio.gather(*map(some, opened))
    return ids


async def rename_user(connection: Connection, user_id: str, name: str) -> int:
    """The version that the user has now."""
    asked = body(RENAME_USER, input={"userId": user_id, "name": name})
    renamed = _data(_renamed_user, await connection.post(asked)).rename_user
    if renamed is None:
        raise AnswerError("renameUser answered null without an error")
    return renamed.version


async def find_user(connection: Connection, user_id: str, *, wait: bool = False) -> User | None:
    """The user, or None while the read model does not show it; `wait` asks for its version 1."""
    asked = body(USER_AT_LEAST if wait else USER, id=user_id)
    return _data(_one_user, await connection.post(asked)).user


async def user(connection: Connection, user_id: str, *, wait: bool = False) -> User:
    found = await find_user(connection, user_id, wait=wait)
    if found is None or found.id != user_id:
        raise AnswerError(f"user {user_id} was asked for, the answer has {found}")
    return found


async def page(connection: Connection, after: str | None) -> Page:
    found = _data(_one_page, await connection.post(body(PAGE, after=after))).users
    if len(found.nodes) != PAGE_SIZE:
        raise AnswerError(f"a page of {PAGE_SIZE} was asked for, {len(found.nodes)} users came")
    return found
