"""Strawberry's decorators as a type checker wants them: with arguments they are untyped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import strawberry

from api.auth.scopes import Scope
from api.engine.cost.directives import COMMAND, Cost, ListSize

R = TypeVar("R", bound=Callable[..., object])


def field(
    description: str, *costs: Cost | ListSize, scope: Scope | None = None
) -> Callable[[R], R]:
    """`scope` is what a caller's token must allow, where tokens are asked for."""
    declared = strawberry.field(**_declared(description, scope), directives=costs)
    return cast("Callable[[R], R]", declared)


def mutation(description: str, *, scope: Scope) -> Callable[[R], R]:
    declared = strawberry.mutation(**_declared(description, scope), directives=[COMMAND])
    return cast("Callable[[R], R]", declared)


def subscription(description: str, *, scope: Scope) -> Callable[[R], R]:
    return cast("Callable[[R], R]", strawberry.subscription(**_declared(description, scope)))


def _declared(description: str, scope: Scope | None) -> dict[str, Any]:
    """What schema.py finds again to guard the field, and what clients read of it."""
    if scope is None:
        return {"description": description}
    return {"description": f"{description} Scope: {scope}.", "metadata": {Scope: scope}}
