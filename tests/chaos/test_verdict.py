"""The end of a run waits for what is slow, and for nothing else."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.conftest import Make
from tests.chaos.history import History
from tests.chaos.verdict import at_rest, settled
from tests.chaos.workload import Workload


async def test_settling_replaces_what_ends_unseen_and_gives_up_what_stands(make: Make) -> None:
    async with make(names=("api", "relay-1", "projector-1")) as cluster:
        await at_rest(cluster)
        _end_unseen(cluster.members["api"].pid)
        await settled(cluster)
        client = Workload(cluster.port, History(), seed=1, clients=0, people=0).client("somebody")
        cluster.members["relay-1"].pause()
        created = {"name": "Alice", "email": "alice@example.com"}
        assert (await client.command("createUser", created)).outcome == "ok"
        client.close()
        with pytest.raises(AssertionError, match="1 events are not in the stream"):
            await at_rest(cluster, within=0.3)
        await settled(cluster)


def _end_unseen(pid: int) -> None:
    """Returns when the process is dead, before the event loop can learn of it."""
    os.kill(pid, signal.SIGKILL)
    while "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        time.sleep(0.001)
