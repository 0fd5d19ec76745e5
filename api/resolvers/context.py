"""The context of every resolver: the store of commands, the read model of queries, and the caller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from api.auth.scopes import UNRESTRICTED, Caller
from api.engine.resolver_info import ResolverInfo, StrawberryInfo
from api.engine.stream_position import StreamPosition

if TYPE_CHECKING:
    from domain.write.store import Store
    from readside.queries.reader import ReadModel


@dataclass(frozen=True, kw_only=True)
class Context:
    """The context of the resolvers of one request."""

    store: Store
    read_model: ReadModel
    max_page_size: int = 100
    """Items that a list field returns at most."""
    caller: Caller = UNRESTRICTED
    position: StreamPosition | None = None
    """That of the stream, if its transport can resume it."""

    def for_caller(self, caller: Caller, position: StreamPosition | None = None) -> Context:
        return replace(self, caller=caller, position=position)


# The type checker holds resolvers to the part of `info` that a compiled plan passes too.
if TYPE_CHECKING:
    Info = ResolverInfo[Context]
else:
    Info = StrawberryInfo
