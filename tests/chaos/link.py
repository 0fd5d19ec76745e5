"""One connection through the proxy: both its sides, and what is under way between them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from tests.chaos.addresses import Address
    from tests.chaos.proxy import Fault, Proxy

_NO_GOODBYE = struct.pack("ii", 1, 0)
"""SO_LINGER: what is closed is reset."""


class Talk(Protocol):
    """What is understood of a protocol. Answers come in the order of the requests."""

    opaque: bool
    """Whether messages come unasked from now on, so that nothing can be told apart."""

    def asked(self, data: bytes) -> list[str]: ...
    def ends(self, data: bytes) -> list[int]: ...


class Side(asyncio.Protocol):
    """One end of a link."""

    def __init__(
        self, made: Callable[[], None], heard: Callable[[bytes], None], lost: Callable[[], None]
    ) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self._made = made
        self._heard = heard
        self._lost = lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._made()

    def data_received(self, data: bytes) -> None:
        self._heard(data)

    def connection_lost(self, _: Exception | None) -> None:
        self.ended = True
        self._lost()

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def write(self, data: bytes) -> None:
        if self.transport is not None and self.open:
            self.transport.write(data)

    def listen(self, attentive: bool) -> None:
        """Whether what comes is taken; else it waits in the kernel, and so does the end of the connection."""
        if self.transport is not None and self.open:
            (self.transport.resume_reading if attentive else self.transport.pause_reading)()

    def close(self) -> None:
        """What was written still arrives."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """With a reset, where there is such a thing."""
        if self.transport is not None and not self.ended:
            end = self.transport.get_extra_info("socket")
            if end.family != socket.AF_UNIX:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_GOODBYE)
            self.transport.abort()


class Link:
    """Requests pass at once. Answers may stand in a queue: held, silenced or delayed."""

    def __init__(self, proxy: Proxy, talk: Talk, address: Address | None = None) -> None:
        self.address = address
        """The server that it leads to, where the proxy has several."""
        self.client = Side(self._taken, self._asked, self._client_lost)
        self.server = Side(self._reached, self._answered, self._server_lost)
        self.deaf = False
        """Whether the client is not told when the server's side ends."""
        self._proxy = proxy
        self._talk = talk
        self._unanswered: deque[str] = deque()
        self._midway = False  # whether the answer to the first of them has begun to arrive
        self._fault: Fault | None = None  # what waits for the present answer to be whole
        self._parts: list[bytes] = []  # the present answer, for that fault
        self._queue: deque[tuple[float, bytes]] = deque()  # when an answer is due, and the answer
        self._timer: asyncio.TimerHandle | None = None
        self._held = False
        self._ending = False

    def cut(self) -> None:
        self._forget()
        self.client.abort()
        self.server.abort()

    def half_open(self) -> None:
        """The server's side is gone, and the client is not told."""
        self.deaf = True
        self.server.abort()

    def deliver(self, answer: bytes) -> None:
        if self._queue or self._stands or self._proxy.slowness:
            self._queue.append((_now() + self._proxy.slowness, answer))
            self.move()
        else:
            self._write(answer)

    def hold(self, answer: bytes) -> None:
        """This answer, and what comes behind it, waits until `release`."""
        self._held = True
        self.deliver(answer)

    def release(self) -> None:
        self._held = False
        self.move()

    def end(self) -> None:
        """What is under way to the client still arrives; then both sides are closed."""
        self._ending = True
        self.server.abort()
        self.move()

    def move(self) -> None:
        """Whatever may go to the client now goes."""
        while self._queue and not self._stands:
            due, answer = self._queue[0]
            if due > _now():
                self._wake_at(due)
                return
            self._queue.popleft()
            self._write(answer)
        if self._ending and not self._queue and not self._stands:
            self.client.close()

    @property
    def _stands(self) -> bool:
        return self._held or self._proxy.silent

    def _wake_at(self, due: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.move()

    def _write(self, answer: bytes) -> None:
        whole = self._proxy.passing("answers", len(answer))
        if whole is None:
            self.client.write(answer)
        else:
            self.client.write(answer[:whole])
            self._queue.clear()
            self.end()

    def _taken(self) -> None:
        self._proxy.sides.add(self.client)
        self.client.listen(False)  # until there is somebody to tell it to
        self._proxy.taken(self)

    def _reached(self) -> None:
        self._proxy.sides.add(self.server)
        if self.client.open:
            self.client.listen(not self._proxy.deaf)
        else:
            self.server.abort()  # cut while it was connecting

    def _asked(self, data: bytes) -> None:
        asked = self._talk.asked(data)
        self._unanswered.extend(asked)
        self._proxy.asked.update(asked)
        if self._talk.opaque:
            self._unanswered.clear()
        whole = self._proxy.passing("requests", len(data))
        if whole is None:
            self.server.write(data)
        else:
            self.server.write(data[:whole])
            self.server.close()
            self._forget()
            self.client.abort()

    def _answered(self, data: bytes) -> None:
        ends = self._talk.ends(data)
        if not self._unanswered or (self._fault is None and not self._proxy.armed):
            self._pass(data, len(ends), ends[-1] if ends else 0)
            return
        start = 0
        for end in ends:
            self._take(data[start:end], whole=True)
            start = end
        if start < len(data):
            self._take(data[start:], whole=False)

    def _pass(self, data: bytes, answers: int, end: int) -> None:
        """The quick way, on which nothing can happen to a single answer."""
        for _ in range(min(answers, len(self._unanswered))):
            self._unanswered.popleft()
        self._midway = bool(self._unanswered) and end < len(data)
        self.deliver(data)

    def _take(self, part: bytes, *, whole: bool) -> None:
        """A part of the present answer, which is the last part if the answer is whole with it."""
        if self._ending or not self.client.open:
            return  # something has happened to an answer before
        if self._fault is None and not self._midway and self._unanswered:
            self._fault = self._proxy.fault_for(self._unanswered[0])
        self._midway = bool(self._unanswered) and not whole
        if whole and self._unanswered:
            self._unanswered.popleft()
        if self._fault is None:
            self.deliver(part)
            return
        self._parts.append(part)
        if whole:
            self._befall(self._fault)

    def _befall(self, fault: Fault) -> None:
        answer, self._fault, self._parts = b"".join(self._parts), None, []
        fault.fired.set()
        fault.happens(self, answer)

    def _client_lost(self) -> None:
        self._proxy.sides.discard(self.client)
        self._forget()
        self.server.close()  # what it said before it went is still heard

    def _server_lost(self) -> None:
        self._proxy.sides.discard(self.server)
        if not self.deaf:
            self.end()

    def _forget(self) -> None:
        self._proxy.links.pop(self, None)
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _now() -> float:
    return asyncio.get_running_loop().time()
