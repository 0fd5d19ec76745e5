"""The refusals of commands on users and their orders."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from domain.refusal import Refusal


class EmailAlreadyRegistered(Refusal, frozen=True, kw_only=True):
    """The e-mail address belongs to another user."""

    message: str = "This e-mail address belongs to another user; use another one."
    path: tuple[str, ...] | None = ("email",)


class UserNotFound(Refusal, frozen=True, kw_only=True):
    """The user does not exist, or is erased."""

    message: str = "There is no user with this id."
    path: tuple[str, ...] | None = ("userId",)


class OrderNotFound(Refusal, frozen=True, kw_only=True):
    """The order does not exist, or its user is erased."""

    message: str = "There is no order with this id."
    path: tuple[str, ...] | None = ("orderId",)


class OrderNotOpen(Refusal, frozen=True, kw_only=True):
    """The order is completed or cancelled already."""

    message: str = "Only an open order can be completed or cancelled, and this one is not open."
    path: tuple[str, ...] | None = ("orderId",)
    status: Annotated[str, Meta(description="The status of the order: COMPLETED or CANCELLED.")]
