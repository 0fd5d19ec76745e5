"""Why a command was refused. A refusal is an answer, not an error: nothing was written."""

from __future__ import annotations

import msgspec


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What every refusal has: a sentence for people, and the input field it is about, if it is about one."""

    message: str
    path: tuple[str, ...] | None = None


class InvalidInput(Refusal, frozen=True, kw_only=True):
    """A value of the command is unusable; `path` names the field."""


class EmailAlreadyRegistered(Refusal, frozen=True, kw_only=True):
    message: str = "This e-mail address belongs to another user; use another one."
    path: tuple[str, ...] | None = ("email",)


class UserNotFound(Refusal, frozen=True, kw_only=True):
    message: str = "There is no user with this id."
    path: tuple[str, ...] | None = ("userId",)


class VersionConflict(Refusal, frozen=True, kw_only=True):
    message: str = (
        "The user has changed since the version you expected; read it again and decide anew."
    )
    path: tuple[str, ...] | None = ("expectedVersion",)
    expected: int
    actual: int


class OrderNotFound(Refusal, frozen=True, kw_only=True):
    message: str = "There is no order with this id."
    path: tuple[str, ...] | None = ("orderId",)


class OrderNotOpen(Refusal, frozen=True, kw_only=True):
    message: str = "Only an open order can be completed or cancelled, and this one is not open."
    path: tuple[str, ...] | None = ("orderId",)
    status: str
    """COMPLETED or CANCELLED."""


class IdempotencyKeyReused(Refusal, frozen=True, kw_only=True):
    message: str = "This idempotency key was used for another request; use a new key."
    path: tuple[str, ...] | None = ("idempotencyKey",)
