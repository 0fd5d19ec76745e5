"""Field decorators: Strawberry's, which are untyped when they have arguments, with types, scope and cost.

`guard` makes a field FORBIDDEN unless the caller's token has the scope that the field declares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import strawberry
from graphql import GraphQLField
from strawberry.types.field import StrawberryField

from api.auth.scopes import SCOPE
from api.engine.cost.directives import COMMAND, AllPartitions, Cost, ListSize
from api.errors import failure
from api.resolvers.context import Context

R = TypeVar("R", bound=Callable[..., object])


def field(
    description: str,
    *costs: AllPartitions | Cost | ListSize,
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
    """Returns the description, which names the scope, and the metadata that `guard` checks."""
    if scope is None:
        return {"description": description}
    return {"description": f"{description} Scope: {scope}.", "metadata": {SCOPE: scope}}


def guard(field: GraphQLField) -> None:
    """Wraps the resolver of a field that declares a scope with the check."""
    definition = (field.extensions or {}).get("strawberry-definition")
    scope = definition.metadata.get(SCOPE) if definition is not None else None
    if scope is not None and field.subscribe is not None:
        field.subscribe = _guarded(field.subscribe, scope)
    elif scope is not None and field.resolve is not None:
        field.resolve = _guarded(field.resolve, scope)


def _guarded(resolve: Callable[..., Any], scope: str) -> Callable[..., Any]:
    def guarded(source: Any, info: Any, **arguments: Any) -> Any:
        context: Context = info.context
        if scope not in context.caller.scopes:
            raise failure("FORBIDDEN", f"{info.field_name} needs a token with the scope {scope}.")
        return resolve(source, info, **arguments)

    return guarded
