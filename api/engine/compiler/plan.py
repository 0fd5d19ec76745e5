"""A compiled operation, and how it is carried out: call the resolvers, put what they answer in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from api.engine.literals import Values
from api.engine.resolver_info import ResolverInfo

if TYPE_CHECKING:
    from api.auth.scopes import Scope

Path = tuple[str | int, ...]
"""Where in the answer something is."""

ResponseData = dict[str, Any]


class NeedsGraphQLCore(Exception):
    """Something came up that a plan does not cover, so graphql-core is to put the answer together."""


class PlanRun:
    """One request that goes by a plan."""

    __slots__ = ("context", "irregular", "outcomes", "values")

    def __init__(self, context: Any, values: Values) -> None:
        self.context = context
        self.values = values
        self.outcomes: dict[Path, Any] = {}
        """What each resolver that was called has answered, or the exception it raised."""
        self.irregular = False


PendingCall = tuple["FieldCall", ResponseData, Any, Path]
"""A call that is still to be made, where its answer belongs, what it is called on, and its path."""

Completer = Callable[[Any, PlanRun, Path, list[PendingCall]], Any]
"""From what a resolver answered to what the client is answered; adds the calls that this needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldCall:
    """A field that a resolver answers."""

    key: str
    resolve: Callable[[Any, ResolverInfo[Any], Values], Any]
    selected: frozenset[str]
    complete: Completer

    async def fill(self, into: ResponseData, source: Any, run: PlanRun, path: Path) -> None:
        """Puts the field's answer in its place. Raises nothing: what goes wrong makes the run irregular."""
        try:
            outcome = self.resolve(source, ResolverInfo(run.context, self.selected), run.values)
            if type(outcome) is CoroutineType or isawaitable(outcome):  # the one is found at once
                outcome = await outcome
        except NeedsGraphQLCore:
            run.irregular = True
            return
        except Exception as error:
            outcome = error
        run.outcomes[path] = outcome
        if isinstance(outcome, Exception):  # raised or returned: String would make a text of it
            run.irregular = True
            return
        waiting: list[PendingCall] = []
        try:
            into[self.key] = self.complete(outcome, run, path, waiting)
        except Exception:
            # No value of its type, or null where that may not be: graphql-core will say it.
            run.irregular = True
            return
        if waiting:
            await _together(waiting, run)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """An operation, compiled for one way in which its @skip and @include turn out."""

    root: Completer
    serially: bool
    """Whether one field at the top is done before the next begins, as in a mutation."""
    scopes: frozenset[Scope]
    """What a caller must be allowed for the plan to apply."""
    source: str
    """The Python it was compiled from, for whoever wants to read it."""

    async def answer(self, run: PlanRun) -> ResponseData | None:
        """The `data`; None if the run is irregular, and then its outcomes say how far it came."""
        waiting: list[PendingCall] = []
        try:
            data: ResponseData = self.root(None, run, (), waiting)
        except Exception:
            return None
        if self.serially or len(waiting) == 1:
            for call, into, source, path in waiting:
                await call.fill(into, source, run, path)
                if run.irregular:
                    return None
        elif waiting:
            await _together(waiting, run)
        return None if run.irregular else data


async def _together(waiting: Sequence[PendingCall], run: PlanRun) -> None:
    if len(waiting) == 1:
        call, into, source, path = waiting[0]
        await call.fill(into, source, run, path)
    else:
        await asyncio.gather(
            *(call.fill(into, source, run, path) for call, into, source, path in waiting)
        )
