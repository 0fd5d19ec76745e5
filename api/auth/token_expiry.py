"""Ends a stream of results when the token of its caller expires."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from api.auth.tokens import expired
from api.errors import Formatted


async def end_at_expiry(
    seconds_left: float, results: AsyncGenerator[Formatted, None]
) -> AsyncGenerator[Formatted, None]:
    """Yields the results. Raises UNAUTHENTICATED after `seconds_left`."""
    deadline = asyncio.get_running_loop().time() + seconds_left
    async with aclosing(results):
        while True:
            try:  # a timeout for each result, because each may be awaited in another task
                async with asyncio.timeout_at(deadline) as timeout:
                    result = await anext(results)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if timeout.expired():
                    raise expired() from None
                raise
            yield result
