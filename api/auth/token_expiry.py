"""A stream that lasts as long as the token of whoever asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from api.auth.tokens import expired

if TYPE_CHECKING:
    from api.errors import Formatted


async def until(
    seconds: float, results: AsyncGenerator[Formatted, None]
) -> AsyncGenerator[Formatted, None]:
    """The results, and after so many seconds the error that the token has expired."""
    end = asyncio.get_running_loop().time() + seconds
    async with aclosing(results):
        while True:
            try:  # for each result anew, because each may be waited for in another task
                async with asyncio.timeout_at(end) as patience:
                    result = await anext(results)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if patience.expired():
                    raise expired() from None
                raise
            yield result
