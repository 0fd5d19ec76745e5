"""Subscriptions to Redis channels: one connection per process, and only channels with a listener."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from readside.redis_connection.connection_expiry import ConnectionExpiry
from readside.redis_functions.keys import TANDEM, Namespace

_LOG_INTERVAL_SECONDS = 60.0
"""Minimum between two log lines about a connection that fails repeatedly."""

_RECONNECT_SECONDS = 0.2
"""Pause between attempts to connect."""

_CHECK_INTERVAL_SECONDS = 1.0
"""How often the expiry of the connection is checked while there is no message."""

_MAX_SILENCE_SECONDS = 5.0
"""Time without a message after which a PING is sent; after as much again the connection is given up."""

_log = structlog.get_logger(__name__)


class ChannelSubscription:
    """One listener's view of a channel: whether a message arrived since its last wait."""

    def __init__(self) -> None:
        self.subscribed = asyncio.Event()
        self._notified = False
        self._waiting: asyncio.Future[None] | None = None

    def notify(self) -> None:
        self._notified = True
        self._wake()

    async def wait(self, seconds: float | None) -> bool:
        """Returns whether a message arrived, after waiting for it; None waits indefinitely."""
        if not self._notified:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = None if seconds is None else loop.call_later(max(0.0, seconds), self._wake)
            try:
                await self._waiting
            finally:
                self._waiting = None
                if timer is not None:
                    timer.cancel()
        notified, self._notified = self._notified, False
        return notified

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class PubSub:
    """Shared subscriptions to channels, for as long as its `async with` block."""

    def __init__(
        self,
        redis: Redis,
        *,
        subscribe_timeout_seconds: float = 2.0,
        namespace: Namespace = TANDEM,
        expiry: ConnectionExpiry | None = None,
    ) -> None:
        """`redis` decodes replies and has no read timeout; `expiry` is that of its connections."""
        self._redis = redis
        # Keeps the connection in the subscribed state while there are no listeners.
        self._silent_channel = namespace.silent_channel
        self._prefix = namespace.prefix
        self._subscribe_timeout_seconds = subscribe_timeout_seconds
        self._expiry = expiry or ConnectionExpiry()
        self._listeners: dict[str, set[ChannelSubscription]] = defaultdict(set)
        self._pubsub: Any = None
        self._silent_log_until = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> PubSub:
        self._task = asyncio.create_task(self._listen(), name="pubsub")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        while not self._task.done():  # a driver that is just sending may swallow a cancellation
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.2)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[ChannelSubscription]:
        """Yields a subscription that is notified of every message published after entry."""
        subscription = ChannelSubscription()
        others = list(self._listeners[channel])
        self._listeners[channel].add(subscription)
        try:
            if not others:
                await self._send("SUBSCRIBE", channel)
            elif any(other.subscribed.is_set() for other in others):
                subscription.subscribed.set()
            with suppress(TimeoutError):  # Redis is away; the reads that follow raise it
                async with asyncio.timeout(self._subscribe_timeout_seconds):
                    await subscription.subscribed.wait()
            yield subscription
        finally:
            self._listeners[channel].discard(subscription)
            if not self._listeners[channel]:
                del self._listeners[channel]
                await self._send("UNSUBSCRIBE", channel)

    async def _send(self, verb: str, channel: str) -> None:
        """Bypasses the driver's PubSub, which would open another connection."""
        connection = self._pubsub.connection if self._pubsub is not None else None
        if connection is not None and connection.is_connected:
            # The listening task detects the failure too, and subscribes again. Closed in uvloop:
            # RuntimeError.
            with suppress(RedisError, OSError, RuntimeError):
                await connection.send_command(verb, channel)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await self._receive_on(pubsub)
            except (
                Exception
            ) as error:  # also what the driver raises when it is used while it breaks
                self._log_failure(error)
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _log_failure(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._silent_log_until:
            return
        self._silent_log_until = now + _LOG_INTERVAL_SECONDS
        denied = isinstance(error, NoPermissionError)
        advice = (
            {"todo": f"allow this user of Redis the channels &{self._prefix}:*"} if denied else {}
        )
        _log.warning("pubsub.disconnected", error=type(error).__name__, **advice)

    async def _receive_on(self, pubsub: Any) -> None:
        expiry_count = self._expiry.count
        subscribed = set(self._listeners)
        await pubsub.subscribe(self._silent_channel, *subscribed)
        self._pubsub = pubsub
        try:
            # Channels whose listeners came while the connection was being opened.
            if late := set(self._listeners) - subscribed:
                await pubsub.subscribe(*late)
            await self._receive(pubsub, expiry_count)
        finally:
            self._pubsub = None

    async def _receive(self, pubsub: Any, expiry_count: int) -> None:
        """Receives until the connection has expired, which was begun under this count."""
        silent_seconds, pinged = 0.0, False
        while self._expiry.count == expiry_count:
            timeout = min(_CHECK_INTERVAL_SECONDS, _MAX_SILENCE_SECONDS)
            message = await pubsub.get_message(timeout=timeout)
            if message is None:
                silent_seconds += timeout
                if getattr(self._redis, "is_cluster", False):
                    self._redis.close_left()  # type: ignore[attr-defined]
                if silent_seconds >= 2 * _MAX_SILENCE_SECONDS:
                    raise ConnectionError("Redis does not reply any more")
                if silent_seconds >= _MAX_SILENCE_SECONDS and not pinged:
                    pinged = True
                    await pubsub.ping()
                continue
            silent_seconds, pinged = 0.0, False
            for subscription in self._listeners.get(message["channel"], ()):
                if message["type"] == "subscribe":
                    subscription.subscribed.set()  # after a reconnect messages may have been missed
                subscription.notify()
