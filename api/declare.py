"""Strawberry's decorators as a type checker wants them: with arguments they are untyped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import strawberry

R = TypeVar("R", bound=Callable[..., object])


def field(description: str) -> Callable[[R], R]:
    return cast("Callable[[R], R]", strawberry.field(description=description))


def mutation(description: str) -> Callable[[R], R]:
    return cast("Callable[[R], R]", strawberry.mutation(description=description))


def subscription(description: str) -> Callable[[R], R]:
    return cast("Callable[[R], R]", strawberry.subscription(description=description))
