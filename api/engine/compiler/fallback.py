"""The fallback of a plan: graphql-core runs the operation without calling its resolvers again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import isawaitable
from typing import Any

from graphql import GraphQLResolveInfo

from api.engine.compiler.plan import Path

Middleware = Callable[..., Any]

_NOT_CALLED = object()


def replaying(outcomes: Mapping[Path, Any]) -> Middleware:
    """Returns a middleware for graphql-core that replays the outcomes of the resolvers at these paths."""
    keys = {path[-1] for path in outcomes}

    def replay(
        resolve: Callable[..., Any], source: Any, info: GraphQLResolveInfo[Any], **arguments: Any
    ) -> Any:
        outcome = _NOT_CALLED
        if info.path.key in keys:  # most fields are attributes, for which no path is built
            outcome = outcomes.get(tuple(info.path.as_list()), _NOT_CALLED)
        if outcome is _NOT_CALLED:
            return resolve(source, info, **arguments)
        if isinstance(outcome, Exception):
            raise outcome
        return _unawaited(outcome) if isawaitable(outcome) else outcome

    return replay


async def _unawaited(outcome: Any) -> Any:
    """Returns an awaitable that a coroutine returned, for graphql-core would not await it then either."""
    return outcome
