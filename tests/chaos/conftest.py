"""Clusters for tests: what is slow to make is made once for each test process."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from api.embedded.data_directory import opened_directory
from api.embedded.locks import try_lock
from tests.chaos.cluster import PARTITIONS, Cluster, cluster
from tests.chaos.stores import made_template
from tests.stores import PREFIX, fast_temp

Make = Callable[..., AbstractAsyncContextManager[Cluster]]
"""Makes a cluster of the test's own; its arguments are those of `cluster` behind the third."""


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A migrated data directory of PostgreSQL."""
    with _place() as place:
        with ThreadPoolExecutor(1) as thread:  # a test's event loop may not be running yet
            making = made_template(place / "template", PARTITIONS)
            made = thread.submit(lambda: asyncio.run(making))
        yield made.result()


@pytest.fixture
def make(template: Path) -> Iterator[Make]:
    with _place() as place:
        numbers = count()

        def made(**options: Any) -> AbstractAsyncContextManager[Cluster]:
            """Each in a directory of its own: a test may make one after the other."""
            own = place / str(next(numbers))
            own.mkdir()
            return cluster(own, template, **options)

        yield made


@contextmanager
def _place() -> Iterator[Path]:
    """A directory that goes with us: held by a lock, so that the next run sweeps away what a kill left."""
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=fast_temp()) as place,
        opened_directory(Path(place)) as directory,
        directory.opened("servers.lock") as descriptor,
    ):
        assert try_lock(descriptor)
        yield Path(place)
