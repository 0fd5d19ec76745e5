"""Why a command is refused. A refusal is a result, not an error: nothing was written."""

from __future__ import annotations

import msgspec


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What every refusal has: a sentence for people, and the input field it is about, if it is about one."""

    message: str
    path: tuple[str, ...] | None = None


class InvalidInput(Refusal, frozen=True, kw_only=True):
    """A value of the command is unusable; `path` names the field."""


class IdempotencyKeyReused(Refusal, frozen=True, kw_only=True):
    message: str = "This idempotency key was used for another request; use a new key."
    path: tuple[str, ...] | None = ("idempotencyKey",)
