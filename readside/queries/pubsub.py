"""Listening to changes: one Redis connection per process, and only to users for whom somebody waits."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import NoPermissionError, RedisError

from readside.redis_connection.connection_expiry import ConnectionExpiry
from readside.redis_functions.keys import TANDEM, Namespace

if TYPE_CHECKING:
    from redis.asyncio import Redis

_LOG_INTERVAL_SECONDS = 60.0
"""Seconds between two lines of the log about a connection that breaks again and again."""

_PAUSE = 0.2
"""Seconds between attempts to reach Redis."""

_CHECK_INTERVAL_SECONDS = 1.0
"""Seconds between looks whether the connection has expired, when there is no message."""

_MAX_SILENCE_SECONDS = 5.0
"""Seconds without a message after which Redis is asked whether it is there; after as many more it is not."""

_log = structlog.get_logger(__name__)


class ChannelSubscription:
    """What one listener sees of a channel: that there was news since it last looked."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self._news = asyncio.Event()

    def notify(self) -> None:
        self._news.set()

    async def wait(self, seconds: float | None) -> bool:
        """Whether there was news, waiting up to so many seconds for it (None: for ever)."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True


class PubSub:
    """Channels of Redis, shared. `async with` it: that is how long it listens."""

    def __init__(
        self,
        redis: Redis,
        *,
        patience: float = 2.0,
        namespace: Namespace = TANDEM,
        expiry: ConnectionExpiry | None = None,
    ) -> None:
        """`redis` decodes replies and has no read timeout; `patience`: seconds to wait for a subscription;
        `expiry`: that of its connections.
        """
        self._redis = redis
        # Keeps the connection in the subscribed state when nobody waits.
        self._silent = namespace.silent_channel
        self._prefix = namespace.prefix
        self._patience = patience
        self._expiry = expiry or ConnectionExpiry()
        self._listeners: dict[str, set[ChannelSubscription]] = defaultdict(set)
        self._pubsub: Any = None
        self._reported_until = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> PubSub:
        self._task = asyncio.create_task(self._listen(), name="changes")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        while not self._task.done():  # a driver that is just sending may swallow a cancellation
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.2)

    @asynccontextmanager
    async def of(self, channel: str) -> AsyncIterator[ChannelSubscription]:
        """Listens to a channel; whatever is published after entry is news."""
        subscription = ChannelSubscription()
        first = not self._listeners[channel]
        self._listeners[channel].add(subscription)
        try:
            if not first:
                self._follow(channel, subscription)
            else:
                await self._tell("SUBSCRIBE", channel)
            with suppress(TimeoutError):  # Redis is away; the reads that follow will say so
                async with asyncio.timeout(self._patience):
                    await subscription.ready.wait()
            yield subscription
        finally:
            self._listeners[channel].discard(subscription)
            if not self._listeners[channel]:
                del self._listeners[channel]
                await self._tell("UNSUBSCRIBE", channel)

    def _follow(self, channel: str, subscription: ChannelSubscription) -> None:
        """Another listener has asked for the channel before; it may still be waiting for Redis to say yes."""
        if any(other.ready.is_set() for other in self._listeners[channel]):
            subscription.ready.set()

    async def _tell(self, verb: str, channel: str) -> None:
        """Past the driver's PubSub, which would connect anew beside the task that listens."""
        connection = self._pubsub.connection if self._pubsub is not None else None
        if connection is not None and connection.is_connected:
            # The listening task notices as well, and subscribes anew. Closed in uvloop: RuntimeError.
            with suppress(RedisError, OSError, RuntimeError):
                await connection.send_command(verb, channel)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await self._receive_on(pubsub)
            except Exception as error:  # a break; also what the driver makes of one under our hands
                self._report(error)
            await asyncio.sleep(_PAUSE)

    def _report(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._reported_until:
            return
        self._reported_until = now + _LOG_INTERVAL_SECONDS
        denied = isinstance(error, NoPermissionError)
        todo = (
            {"todo": f"allow this user of Redis the channels &{self._prefix}:*"} if denied else {}
        )
        _log.warning("changes.broken", error=type(error).__name__, **todo)

    async def _receive_on(self, pubsub: Any) -> None:
        count = self._expiry.count
        asked = set(self._listeners)
        await pubsub.subscribe(self._silent, *asked)
        self._pubsub = pubsub
        try:
            # Whoever came while we were connecting could tell nobody.
            if late := set(self._listeners) - asked:
                await pubsub.subscribe(*late)
            await self._receive(pubsub, count)
        finally:
            self._pubsub = None

    async def _receive(self, pubsub: Any, count: int) -> None:
        """Until the connection, which was begun under this count, has expired."""
        silent, asked = 0.0, False
        while self._expiry.count == count:
            patience = min(_CHECK_INTERVAL_SECONDS, _MAX_SILENCE_SECONDS)
            message = await pubsub.get_message(timeout=patience)
            if message is None:
                silent += patience
                if silent >= 2 * _MAX_SILENCE_SECONDS:
                    raise ConnectionError("Redis does not answer any more")
                if silent >= _MAX_SILENCE_SECONDS and not asked:
                    asked = True
                    await pubsub.ping()
                continue
            silent, asked = 0.0, False
            for subscription in self._listeners.get(message["channel"], ()):
                if message["type"] == "subscribe":
                    subscription.ready.set()  # after a break it is news too: we may have missed some
                subscription.notify()
