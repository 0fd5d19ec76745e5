"""A compiled operation, and how it runs: it calls the resolvers and puts their values into the response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from types import CoroutineType
from typing import Any, NamedTuple

from api.engine.literals import Values
from api.engine.resolver_info import ResolverInfo

Path = tuple[str | int, ...]
"""A path in the response."""

ResponseData = dict[str, Any]


class NeedsGraphQLCore(Exception):
    """The request or a value is irregular: graphql-core must run the operation."""


class PlanRun:
    """The run of a plan for one request."""

    __slots__ = ("context", "irregular", "outcomes", "values")

    def __init__(self, context: Any, values: Values) -> None:
        self.context = context
        self.values = values
        self.outcomes: dict[Path, Any] = {}
        """The value that each called resolver returned, or the exception that it raised."""
        self.irregular = False


PendingCall = tuple["FieldCall", ResponseData, Any, Path]
"""A call to be made: the field, the object that its value belongs to, the source, and the path."""

Completer = Callable[[Any, PlanRun, Path, list[PendingCall]], Any]
"""Converts the value of a resolver to one of the response; adds the calls that this needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldCall:
    """A field with a resolver."""

    key: str
    resolve: Callable[[Any, ResolverInfo[Any], Values], Any]
    selected: frozenset[str]
    complete: Completer

    async def call(self, data: ResponseData, source: Any, run: PlanRun, path: Path) -> None:
        """Puts the field's value into `data`. Raises nothing: any error makes the run irregular."""
        try:
            outcome = self.resolve(source, ResolverInfo(run.context, self.selected), run.values)
            if type(outcome) is CoroutineType or isawaitable(outcome):  # the first check is fast
                outcome = await outcome
        except NeedsGraphQLCore:
            run.irregular = True
            return
        except Exception as error:
            outcome = error
        run.outcomes[path] = outcome
        if isinstance(outcome, Exception):  # raised or returned: String would turn it into text
            run.irregular = True
            return
        pending: list[PendingCall] = []
        try:
            data[self.key] = self.complete(outcome, run, path, pending)
        except Exception:
            # A value of a wrong type, or null where the type forbids it: graphql-core words the error.
            run.irregular = True
            return
        if pending:
            await _call_all(pending, run)


class EventResponse(NamedTuple):
    """An event of a subscription, and the response to it with its data encoded."""

    event: Any
    response: dict[str, Any]


@dataclass(eq=False, kw_only=True, slots=True)
class Plan:
    """A compiled operation, valid for one combination of its @skip and @include conditions."""

    root: Completer
    serial: bool
    """Whether a root field is complete before the next begins, as in a mutation."""
    responds_to_event_alone: bool
    """Whether it is a subscription that calls no resolver for an event: equal events have equal responses."""
    scopes: frozenset[str]
    """The scopes that a caller must have for the plan to apply."""
    source: str
    """The Python text it was compiled from, for debugging."""
    last_response: EventResponse | None = None
    """That of this turn of the event loop, if `responds_to_event_alone`."""

    def forget_response(self) -> None:
        self.last_response = None

    async def run(self, run: PlanRun, event: Any = None) -> ResponseData | None:
        """Returns the `data` of the response, to `event` in a subscription; None if the run is irregular."""
        pending: list[PendingCall] = []
        try:
            data: ResponseData = self.root(event, run, (), pending)
        except Exception:
            return None
        if self.serial or len(pending) == 1:
            for field, into, source, path in pending:
                await field.call(into, source, run, path)
                if run.irregular:
                    return None
        elif pending:
            await _call_all(pending, run)
        return None if run.irregular else data


async def _call_all(pending: Sequence[PendingCall], run: PlanRun) -> None:
    if len(pending) == 1:
        field, data, source, path = pending[0]
        await field.call(data, source, run, path)
    else:
        await asyncio.gather(
            *(field.call(data, source, run, path) for field, data, source, path in pending)
        )
