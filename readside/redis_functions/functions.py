"""Calls of the functions inside Redis; loads them when Redis does not have them, or has lost them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from readside.errors import UNREACHABLE
from readside.redis_functions.keys import TANDEM, Namespace

_FILES = ("functions.lua", "inspection.lua")
_SOURCE = "".join((Path(__file__).parent / name).read_text("utf-8") for name in _FILES)
VERSION = hashlib.sha256(_SOURCE.encode()).hexdigest()[:8]

Argument = str | bytes | int


class GenerationGone(Exception):
    """The generation of a call is void or removed."""


class FunctionCall(msgspec.Struct, frozen=True):
    """A call of a function of functions.lua or inspection.lua."""

    name: str
    keys: Sequence[str]
    arguments: Sequence[Argument] = ()

    def words(self, library: str) -> tuple[Argument, ...]:
        return "FCALL", f"{self.name}_{library}", len(self.keys), *self.keys, *self.arguments


class Functions:
    """The library of this version of the code. Calls raise the errors of redis-py, and GenerationGone."""

    def __init__(self, redis: Redis, namespace: Namespace = TANDEM) -> None:
        self._redis = redis
        self._is_cluster = getattr(redis, "is_cluster", False)
        self.library = f"{namespace.library_prefix}_{VERSION}"

    async def load(self) -> None:
        """Loads the library. Libraries of other versions stay, for processes that still run their code."""
        source = _SOURCE.replace("VERSION", self.library)
        await self._redis.function_load(source, replace=True)

    async def call(self, name: str, keys: Sequence[str], *arguments: Argument) -> Any:
        [reply] = await self.call_all([FunctionCall(name, keys, arguments)])
        return reply

    async def call_all(self, calls: Sequence[FunctionCall]) -> list[Any]:
        """Sends several calls in one round trip; raises the first error among the replies."""
        replies = await self.call_reachable(calls)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def call_reachable(self, calls: Sequence[FunctionCall]) -> list[Any]:
        """Like `call_all`, but returns the error of a call to a node of a cluster that alone is unfit."""
        replies = await self._pipelined(calls)
        if any(_is_not_loaded(reply) for reply in replies):
            await self.load()
            # Repeats also the calls that did run: every function may be called twice.
            replies = await self._pipelined(calls)
        for reply in replies:
            if isinstance(reply, ResponseError) and str(reply).startswith("GONE"):
                raise GenerationGone
            if isinstance(reply, Exception) and not self._is_of_one_node(reply):
                raise reply
        return replies

    def _is_of_one_node(self, reply: Exception) -> bool:
        """Returns whether an error says nothing of calls to other nodes."""
        is_refused = isinstance(reply, OutOfMemoryError) or _is_not_loaded(reply)
        return is_unreachable(reply) or (is_refused and self._is_cluster)

    async def _pipelined(self, calls: Sequence[FunctionCall]) -> list[Any]:
        # A pipeline of one costs half as much again; that of a cluster returns the error of a node.
        if len(calls) == 1 and not self._is_cluster:
            try:
                return [await self._redis.execute_command(*calls[0].words(self.library))]  # type: ignore[no-untyped-call]
            except ResponseError as error:
                return [error]
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call.words(self.library))
        return await pipeline.execute(raise_on_error=False)


def is_unreachable(reply: object) -> bool:
    """Returns whether a reply is the error of a node that cannot be reached, or can execute nothing now."""
    return isinstance(reply, UNREACHABLE)


def _is_not_loaded(reply: object) -> bool:
    return isinstance(reply, ResponseError) and "Function not found" in str(reply)
