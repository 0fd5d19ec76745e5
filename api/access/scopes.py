"""Who asks, what that allows, and the check of it at each field that says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from api.errors import failure

if TYPE_CHECKING:
    from graphql import GraphQLField

    from api.context import Context

Resolver = Callable[..., Any]


class Scope(StrEnum):
    """What a token may allow. A field says which one it needs where it is declared."""

    READ = "users:read"
    WRITE = "users:write"
    ERASE = "users:erase"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who sent a request, as far as its token tells."""

    known: bool = True
    """Whether there is a token, or none is needed."""
    scopes: frozenset[str] = frozenset()
    subject: str | None = None
    expires: float | None = None
    """Seconds since 1970."""
    address: str | None = None
    """Where the request comes from, if anybody wants to know."""

    @property
    def mark(self) -> str | None:
        """Stands for the subject in logs and keys, which hold nothing personal."""
        if self.subject is None:
            return None
        return blake2b(self.subject.encode("utf-8", "replace"), digest_size=8).hexdigest()

    @property
    def account(self) -> str:
        """Whose allowance the request spends."""
        return self.mark or self.address or "unknown"

    @property
    def seconds_left(self) -> float | None:
        """Until the token expires; None if it does not. Not above 0 once it has."""
        return None if self.expires is None else self.expires - time.time()


EVERYBODY: Final = Caller(scopes=frozenset(Scope))
"""The caller of every request where no tokens are asked for."""

NOBODY: Final = Caller(known=False)
"""The caller of a request without a token where tokens are asked for."""


def guard(field: GraphQLField) -> None:
    """Puts the check in front of the field's resolver, if the field says that it needs a scope."""
    declared = (field.extensions or {}).get("strawberry-definition")
    scope = declared.metadata.get(Scope) if declared is not None else None
    if scope is not None and field.subscribe is not None:
        field.subscribe = _guarded(field.subscribe, scope)
    elif scope is not None and field.resolve is not None:
        field.resolve = _guarded(field.resolve, scope)


def _guarded(resolve: Resolver, scope: Scope) -> Resolver:
    def guarded(source: Any, info: Any, **arguments: Any) -> Any:
        context: Context = info.context
        if scope not in context.caller.scopes:
            raise failure("FORBIDDEN", f"{info.field_name} needs a token with the scope {scope}.")
        return resolve(source, info, **arguments)

    return guarded
