"""A compiled operation, and how it is carried out: call the resolvers, put what they answer in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from api.context import Asked

if TYPE_CHECKING:
    from api.access.scopes import Scope
    from api.context import Context

Values = Mapping[Any, Any]
"""The coerced variables by name, and the literals of the document by their place in it."""

Path = tuple[str | int, ...]
"""Where in the answer something is."""

Answer = dict[str, Any]


class Irregular(Exception):
    """Something came up that a plan does not cover, so graphql-core is to put the answer together."""


class Run:
    """One request that goes by a plan."""

    __slots__ = ("context", "irregular", "outcomes", "values")

    def __init__(self, context: Context, values: Values) -> None:
        self.context = context
        self.values = values
        self.outcomes: dict[Path, Any] = {}
        """What each resolver that was called has answered, or the exception it raised."""
        self.irregular = False


Waiting = tuple["Call", Answer, Any, Path]
"""A call that is still to be made, where its answer belongs, what it is called on, and its path."""

Complete = Callable[[Any, Run, Path, list[Waiting]], Any]
"""From what a resolver answered to what the client is answered; adds the calls that this needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A field that a resolver answers."""

    key: str
    resolve: Callable[[Any, Asked, Values], Any]
    selected: frozenset[str]
    complete: Complete

    async def fill(self, into: Answer, source: Any, run: Run, path: Path) -> None:
        """Puts the field's answer in its place. Raises nothing: what goes wrong makes the run irregular."""
        try:
            outcome = self.resolve(source, Asked(run.context, self.selected), run.values)
            if type(outcome) is CoroutineType or isawaitable(outcome):  # the one is found at once
                outcome = await outcome
        except Irregular:
            run.irregular = True
            return
        except Exception as error:
            outcome = error
        run.outcomes[path] = outcome
        if isinstance(outcome, Exception):  # raised or returned: String would make a text of it
            run.irregular = True
            return
        waiting: list[Waiting] = []
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

    root: Complete
    serially: bool
    """Whether one field at the top is done before the next begins, as in a mutation."""
    scopes: frozenset[Scope]
    """What a caller must be allowed for the plan to apply."""
    source: str
    """The Python it was compiled from, for whoever wants to read it."""

    async def answer(self, run: Run) -> Answer | None:
        """The `data`; None if the run is irregular, and then its outcomes say how far it came."""
        waiting: list[Waiting] = []
        try:
            data: Answer = self.root(None, run, (), waiting)
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


async def _together(waiting: Sequence[Waiting], run: Run) -> None:
    if len(waiting) == 1:
        call, into, source, path = waiting[0]
        await call.fill(into, source, run, path)
    else:
        await asyncio.gather(
            *(call.fill(into, source, run, path) for call, into, source, path in waiting)
        )
