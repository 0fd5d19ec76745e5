"""The record of a run: every command and every query, with what was answered and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a command. A retry with the same key is an attempt of its own."""

    client: str
    number: int
    """Unique in the run, in the order of the starts."""
    command: str
    """The mutation, such as renameUser."""
    input: dict[str, Any]
    """As it was sent, without the idempotency key."""
    key: str | None
    started: float
    """Seconds of the monotonic clock."""
    ended: float
    outcome: Literal["ok", "fail", "unknown"]
    """Unknown: no answer came, or one that says so."""
    id: str | None = None
    version: int | None = None
    code: str | None = None
    """Of the refusal or the error."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A user as a query showed it."""

    id: str
    version: int
    name: str
    email: str
    createdAt: str  # noqa: N815
    updatedAt: str  # noqa: N815
    orderCount: int  # noqa: N815
    lifetimeValue: str  # noqa: N815


class ProductRow(msgspec.Struct, frozen=True, kw_only=True):
    """A product as a query showed it."""

    id: str
    version: int
    sku: str
    name: str
    price: str
    discontinuedAt: str | None  # noqa: N815


Shown = Row | ProductRow


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One query."""

    client: str
    number: int
    query: Literal["user", "userByEmail", "users", "topCustomers", "product", "products"]
    arguments: dict[str, Any]
    started: float
    ended: float
    rows: Sequence[Shown] = ()
    """What was answered; none or one for a single one."""
    code: str | None = None
    """Of the error, if it was answered with one; '' if no answer came."""


class Watched(msgspec.Struct, kw_only=True):
    """What one watcher was told of one user or product, over as many connections as it took."""

    client: str
    user: str
    """The id."""
    aggregate: str = "user"
    told: list[tuple[bool, Shown]] = []
    """In order; and whether it began again with the present state there."""
    times: list[float] = []
    """When it was told each of them, in seconds of the monotonic clock."""


class History:
    """What the clients of a run did and saw."""

    def __init__(self, *, lossy: bool = False) -> None:
        """`lossy`: on purpose, Redis lost writes that it had acknowledged."""
        self.calls: list[Called] = []
        self.reads: list[Seen] = []
        self.watches: list[Watched] = []
        self.lossy = lossy
