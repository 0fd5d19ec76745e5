"""Strawberry's decorators as a type checker wants them: with arguments they are untyped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import strawberry

from api.cost import COMMAND, Cost, ListSize

R = TypeVar("R", bound=Callable[..., object])


def field(description: str, *costs: Cost | ListSize) -> Callable[[R], R]:
    return cast("Callable[[R], R]", strawberry.field(description=description, directives=costs))


def mutation(description: str) -> Callable[[R], R]:
    return cast(
        "Callable[[R], R]", strawberry.mutation(description=description, directives=[COMMAND])
    )


def subscription(description: str) -> Callable[[R], R]:
    return cast("Callable[[R], R]", strawberry.subscription(description=description))
