"""What every resolver is given: the two stores, and what the client selected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from api.auth.scopes import UNRESTRICTED, Caller
from api.engine.documents.trusted import TrustedDocuments
from api.engine.resolver_info import ResolverInfo, StrawberryInfo
from api.limits import Limits

if TYPE_CHECKING:
    from domain.command import Command, CommandResult
    from domain.refusal import Refusal
    from readside.queries.reader import ReadModel


class CommandStore(Protocol):
    """The door for writing: the store, or one that also counts."""

    async def execute(
        self, command: Command, *, metadata: Mapping[str, str] | None = None
    ) -> CommandResult | Refusal: ...


Measure = Callable[[str, str, float], None]


def _nobody(_kind: str, _code: str, _seconds: float) -> None:
    """Wants to know."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """The service behind the edge, `store` for commands and `reads` for queries; and who asks it."""

    store: CommandStore
    reads: ReadModel
    limits: Limits = field(default_factory=Limits)
    http_profile: Literal["compatible", "strict"] = "compatible"
    trusted: TrustedDocuments = field(default_factory=TrustedDocuments)
    introspection: bool = True
    """Whether clients may ask for the schema."""
    measure: Measure = _nobody
    """Told of every operation: its kind, its code or ok, and the seconds it took."""
    caller: Caller = UNRESTRICTED


# What resolvers say they are given: the type checker holds them to what a plan gives them, which is less.
if TYPE_CHECKING:
    Info = ResolverInfo[Context]
else:
    Info = StrawberryInfo
