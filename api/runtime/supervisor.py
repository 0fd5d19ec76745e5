"""Pre-fork supervisor: a parent process that binds, forks the workers of one API and replaces killed ones.

Each worker has its own socket on the shared port (SO_REUSEPORT), among which the kernel spreads connections;
a Unix socket or an inherited one is the same for all. A worker may have a health port of its own. The parent
keeps all sockets open, so connections to a killed worker wait for its replacement, which starts on the same
ports while the other workers continue. A worker that exits by itself reports its reason to the parent, which
stops all workers with this message, because the reason applies to all of them.
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

from api.embedded.child import set_parent_death_signal
from api.runtime.background import LoopFailed
from api.runtime.listeners import Listeners, close

SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}

READY = b"ready\n"

WorkerListeners = Sequence[Listeners]
"""The sockets of each application of one worker, and of its replacements."""

RunWorker = Callable[[WorkerListeners, Callable[[], object]], None]
"""Serves on the sockets, and calls the function as soon as it does. Raises LoopFailed."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Worker:
    listeners: WorkerListeners
    report_pipe: int
    """The reading end of the pipe on which the worker writes READY and the reason of its exit."""

    def report(self) -> bytes:
        """Returns the report of a worker that has exited."""
        with open(self.report_pipe, "rb") as pipe:
            return pipe.read()


class Supervisor:
    """The parent of the workers; it serves no requests."""

    def __init__(self, listeners: Sequence[WorkerListeners], run_worker: RunWorker) -> None:
        """`listeners` has the sockets of each worker."""
        self._listeners = listeners
        self._run_worker = run_worker
        self._workers: dict[int, _Worker] = {}
        self._stopping = False
        self._reason: str | None = None

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT, after which workers finish. Raises LoopFailed if one exits by itself.

        The parent has no event loop and no thread: neither would survive a fork.
        """
        gc.collect()
        gc.freeze()  # otherwise a collection in each worker would copy the memory that they share
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # received by sigwait only
        for listeners in self._listeners:
            self._start(listeners)
        while self._workers:
            if signal.sigwait(SIGNALS) != signal.SIGCHLD:
                self._stop()
            self._reap()
        if self._reason is not None:
            raise LoopFailed(self._reason)

    def _start(self, listeners: WorkerListeners) -> None:
        parent, (reading, writing) = os.getpid(), os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._be_worker(parent, listeners, writing)
        os.close(writing)
        self._workers[pid] = _Worker(listeners, reading)

    def _be_worker(self, parent: int, listeners: WorkerListeners, report_pipe: int) -> NoReturn:
        """Runs in the forked process, and exits it: no caller of this function may clean up."""
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            set_parent_death_signal(parent, signal.SIGTERM)
            own = _sockets([listeners])
            close([listener for listener in _sockets(self._listeners) if listener not in own])
            self._run_worker(listeners, lambda: os.write(report_pipe, READY))
        except LoopFailed as error:
            os.write(report_pipe, str(error).encode())
            sys.exit(1)
        sys.exit(0)

    def _reap(self) -> None:
        for pid, worker in list(self._workers.items()):
            ended_pid, status = os.waitpid(pid, os.WNOHANG)
            if ended_pid:
                del self._workers[pid]
                self._on_exit(worker, os.waitstatus_to_exitcode(status))

    def _on_exit(self, worker: _Worker, status: int) -> None:
        report = worker.report()
        if self._stopping:
            return
        if status < 0 and report == READY:
            _log.warning("process.replaced", signal=-status)
            self._start(worker.listeners)
            return
        reason = report.removeprefix(READY).decode()
        self._reason = reason or f"A worker of the API ended by itself (status {status})."
        self._stop()

    def _stop(self) -> None:
        """Stops accepting connections: the sockets are closed once the workers have closed theirs too."""
        self._stopping = True
        close(_sockets(self._listeners))
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)


def _sockets(workers: Sequence[WorkerListeners]) -> list[socket.socket]:
    return [listener for worker in workers for listeners in worker for listener in listeners]
