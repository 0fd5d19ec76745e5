"""Refusals: why a command was not carried out. A refusal is a result, not an error; nothing was written."""

from __future__ import annotations

import msgspec


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all refusals: a message for the client and the input field it is about, if any."""

    message: str
    path: tuple[str, ...] | None = None


class InvalidInput(Refusal, frozen=True, kw_only=True):
    """A value in the command is invalid; `path` names the field."""


class IdempotencyKeyReused(Refusal, frozen=True, kw_only=True):
    """The idempotency key belongs to an earlier, different request."""

    message: str = "This idempotency key was used for another request; use a new key."
    path: tuple[str, ...] | None = ("idempotencyKey",)


class VersionConflict(Refusal, frozen=True, kw_only=True):
    """What is to be changed is not in the version that the client expected."""

    message: str = "It has changed since the version you expected; read it again and decide again."
    path: tuple[str, ...] | None = ("expectedVersion",)
    expected: int
    actual: int
