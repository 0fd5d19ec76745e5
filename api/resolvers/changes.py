"""The items of a subscription: the rows that a read model yields, each as a GraphQL type."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeVar

from api.resolvers.payload_type import RowType

R = TypeVar("R", bound=RowType)


async def changes_of(type_: type[R], rows: AsyncGenerator[Any, None]) -> AsyncGenerator[R, None]:
    """Yields the rows that exist: None stands for an aggregate that is not created yet, or erased."""
    async with aclosing(rows):
        async for row in rows:
            if row is not None:
                yield type_.from_row(row)
