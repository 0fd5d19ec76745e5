"""Calls to our functions inside Redis, loading them when Redis does not have them (yet, or any more)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import ResponseError

from readside.redis_functions.keys import TANDEM, Namespace

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SOURCE = (Path(__file__).parent / "functions.lua").read_text()
VERSION = hashlib.sha256(_SOURCE.encode()).hexdigest()[:8]

Argument = str | bytes | int


class GenerationGone(Exception):
    """The generation a call was about is void or removed."""


class FunctionCall(msgspec.Struct, frozen=True):
    """A call of a function of functions.lua."""

    name: str
    keys: Sequence[str]
    arguments: Sequence[Argument] = ()

    def words(self, library: str) -> tuple[Argument, ...]:
        return "FCALL", f"{self.name}_{library}", len(self.keys), *self.keys, *self.arguments


class Functions:
    """Raises what redis-py raises, and Gone."""

    def __init__(self, redis: Redis, namespace: Namespace = TANDEM) -> None:
        self._redis = redis
        self.library = f"{namespace.functions}_{VERSION}"

    async def load(self) -> None:
        """Loads the library of this version of the code; one that is there stays."""
        source = _SOURCE.replace("VERSION", self.library)
        await self._redis.function_load(source, replace=True)

    async def call(self, name: str, keys: Sequence[str], *arguments: Argument) -> Any:
        [reply] = await self.calls([FunctionCall(name, keys, arguments)])
        return reply

    async def calls(self, calls: Sequence[FunctionCall]) -> list[Any]:
        """Several calls in one round trip; raises the first error among the replies."""
        replies = await self._pipelined(calls)
        if any(_missing(reply) for reply in replies):
            await self.load()
            # Also those that did run: every function may be called twice.
            replies = await self._pipelined(calls)
        for reply in replies:
            if isinstance(reply, ResponseError) and str(reply).startswith("GONE"):
                raise GenerationGone
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def _pipelined(self, calls: Sequence[FunctionCall]) -> list[Any]:
        if len(calls) == 1:  # a pipeline of one costs half as much again
            try:
                return [await self._redis.execute_command(*calls[0].words(self.library))]  # type: ignore[no-untyped-call]
            except ResponseError as error:
                return [error]
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call.words(self.library))
        return await pipeline.execute(raise_on_error=False)


def _missing(reply: object) -> bool:
    return isinstance(reply, ResponseError) and "Function not found" in str(reply)
