"""The items of a subscription: the rows that a read model yields, each as a GraphQL type."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

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

    The generator raises the code of the refusal `missing` if the aggregate does not exist. This function is
    no generator itself, so that invalid arguments are refused before the stream opens.
    """
    rows = changes(
        info.context.read_model,
        parse_id_argument(id_),
        check_version("afterVersion", after),
        min_version=check_version("minVersion", min_version) or 0,
    )
    return _existing(type_, rows, missing)


async def _existing(
    type_: type[R], rows: AsyncGenerator[Any, None], missing: Callable[[], Refusal]
) -> AsyncGenerator[R, None]:
    async with aclosing(rows):
        try:
            async for row in rows:
                if row is not None:
                    yield type_.from_row(row)
        except AggregateMissing:
            refusal = missing()
            raise failure(refusal.code(), refusal.message) from None
