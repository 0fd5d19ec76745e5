"""Workers of one API under a parent that serves nothing itself: it binds, forks, watches and passes on.

Every worker has a socket of its own on the one port (SO_REUSEPORT), and the kernel spreads connections
among them; it may tell how it is on a port that it has alone. The parent keeps all open too, so that whoever
connects to a worker that is killed waits for the next: that one is started at once, on the same ports, and
the requests of the others go on. But a worker that ends by itself has said why, and that holds for them all:
then all are ended, with its sentence.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import structlog

from api.embedded.child import die_with
from api.runtime.background import LoopFailed

SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}

READY = b"ready\n"

Sockets = Sequence[socket.socket]
"""Those of one worker, and of its successors."""

Work = Callable[[Sockets, Callable[[], None]], None]
"""What a worker does: serves on its sockets, and calls when it does. Raises Fallen."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Worker:
    sockets: Sockets
    told: int
    """Where it says that it is ready, and why it ends."""

    def heard(self) -> bytes:
        """All it has said; it has ended."""
        with open(self.told, "rb") as told:
            return told.read()


class Supervisor:
    """Runs a worker for each of these, and closes their sockets."""

    def __init__(self, places: Sequence[Sockets], work: Work) -> None:
        self._places = places
        self._work = work
        self._workers: dict[int, _Worker] = {}
        self._stopping = False
        self._reason: str | None = None

    def run(self) -> None:
        """Until SIGTERM or SIGINT, which lets them finish. Raises Fallen when one has ended by itself.

        There is no event loop and no thread here: both would not survive a fork.
        """
        gc.collect()
        gc.freeze()  # or every worker would copy what all of them have
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # they wait until we ask for them
        for sockets in self._places:
            self._start(sockets)
        while self._workers:
            if signal.sigwait(SIGNALS) != signal.SIGCHLD:
                self._stop()
            self._reap()
        if self._reason is not None:
            raise LoopFailed(self._reason)

    def _start(self, sockets: Sockets) -> None:
        parent, (told, tell) = os.getpid(), os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            self._be_worker(parent, sockets, tell)
        os.close(tell)
        self._workers[pid] = _Worker(sockets, told)

    def _be_worker(self, parent: int, sockets: Sockets, tell: int) -> NoReturn:
        """Never returns, but ends as programs do; nothing above us in the stack waits to clean up."""
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            die_with(parent, signal.SIGTERM)
            for others in self._places:
                if others is not sockets:
                    _close(others)
            self._work(sockets, lambda: _say(tell, READY))
        except LoopFailed as fallen:
            _say(tell, str(fallen).encode())
            sys.exit(1)
        sys.exit(0)

    def _reap(self) -> None:
        for pid, worker in list(self._workers.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._workers[pid]
                self._ended(worker, os.waitstatus_to_exitcode(status))

    def _ended(self, worker: _Worker, status: int) -> None:
        said = worker.heard()
        if self._stopping:
            return
        if status < 0 and said == READY:
            _log.warning("worker.replaced", signal=-status)
            self._start(worker.sockets)
            return
        reason = said.removeprefix(READY).decode()
        self._reason = reason or f"A worker of the API ended by itself (status {status})."
        self._stop()

    def _stop(self) -> None:
        """Nobody is let in any more: the sockets close as soon as their workers have heard of it."""
        self._stopping = True
        for sockets in self._places:
            _close(sockets)
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)


def _close(sockets: Sockets) -> None:
    for one in sockets:
        one.close()


def _say(tell: int, what: bytes) -> None:
    os.write(tell, what)
