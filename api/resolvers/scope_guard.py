"""The scope check of a field: FORBIDDEN unless the caller's token has the scope that the field declares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import GraphQLField

from api.auth.scopes import SCOPE
from api.errors import failure
from api.resolvers.context import Context

Resolver = Callable[..., Any]


def guard(field: GraphQLField) -> None:
    """Wraps the resolver of a field that declares a scope with the check."""
    definition = (field.extensions or {}).get("strawberry-definition")
    scope = definition.metadata.get(SCOPE) if definition is not None else None
    if scope is not None and field.subscribe is not None:
        field.subscribe = _guarded(field.subscribe, scope)
    elif scope is not None and field.resolve is not None:
        field.resolve = _guarded(field.resolve, scope)


def _guarded(resolve: Resolver, scope: str) -> Resolver:
    def guarded(source: Any, info: Any, **arguments: Any) -> Any:
        context: Context = info.context
        if scope not in context.caller.scopes:
            raise failure("FORBIDDEN", f"{info.field_name} needs a token with the scope {scope}.")
        return resolve(source, info, **arguments)

    return guarded
