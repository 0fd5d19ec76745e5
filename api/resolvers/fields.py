"""Field decorators: Strawberry's, which are untyped when they have arguments, with types, scope and cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import strawberry
from strawberry.types.field import StrawberryField

from api.auth.scopes import SCOPE
from api.engine.cost.directives import COMMAND, Cost, ListSize

R = TypeVar("R", bound=Callable[..., object])


def field(
    description: str,
    *costs: Cost | ListSize,
    scope: str | None = None,
    name: str | None = None,
) -> Callable[[R], R]:
    """Declares a field of an object type. `scope` is what a caller's token must allow.

    `name` is that of the field in GraphQL, if it is not the function's.
    """
    declared = strawberry.field(**_options(description, scope), directives=costs, name=name)
    return cast("Callable[[R], R]", declared)


def mutation(description: str, *, scope: str) -> Callable[[R], StrawberryField]:
    declared = strawberry.mutation(**_options(description, scope), directives=[COMMAND])
    return cast("Callable[[R], StrawberryField]", declared)


def subscription(description: str, *, scope: str) -> Callable[[R], R]:
    return cast("Callable[[R], R]", strawberry.subscription(**_options(description, scope)))


def _options(description: str, scope: str | None) -> dict[str, Any]:
    """Returns the description, which names the scope, and the metadata that scope_guard.py checks."""
    if scope is None:
        return {"description": description}
    return {"description": f"{description} Scope: {scope}.", "metadata": {SCOPE: scope}}
