"""The items of a subscription: the rows that a read model yields, each as a GraphQL type."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from api.engine.stream_position import StreamPosition
from api.errors import failure
from api.resolvers.context import Info
from api.resolvers.payload_type import RowType
from api.resolvers.query_arguments import check_version, parse_id_argument
from domain.refusal import Refusal
from readside.errors import AggregateMissing

R = TypeVar("R", bound=RowType)

Changes = Callable[..., AsyncGenerator[Any, None]]
"""Yields the rows of an aggregate, version by version; None for one that is not created yet, or erased."""


def changes_of(
    type_: type[R],
    changes: Changes,
    info: Info,
    id_: str,
    *,
    after: int | None,
    min_version: int | None,
    missing: Callable[[], Refusal],
) -> AsyncGenerator[R, None]:
    """Returns the items of a subscription to one aggregate. Raises BAD_USER_INPUT.

    The position of the stream, if it resumes, replaces `after`. The generator raises the code of the refusal
    `missing` if the aggregate does not exist. This function is no generator itself, so that invalid arguments
    are refused before the stream opens.
    """
    after = check_version("afterVersion", after)
    position = info.context.position or StreamPosition(None)
    rows = changes(
        info.context.read_model,
        parse_id_argument(id_),
        after if position.after is None else position.after,
        min_version=check_version("minVersion", min_version) or 0,
    )
    return _existing(type_, rows, position, missing)


async def _existing(
    type_: type[R],
    rows: AsyncGenerator[Any, None],
    position: StreamPosition,
    missing: Callable[[], Refusal],
) -> AsyncGenerator[R, None]:
    async with aclosing(rows):
        try:
            async for row in rows:
                if row is not None:
                    position.last = row.version
                    yield type_.from_row(row)
        except AggregateMissing:
            refusal = missing()
            raise failure(refusal.code(), refusal.message) from None
