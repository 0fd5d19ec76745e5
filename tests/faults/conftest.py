"""Clusters for tests: what is slow to make is made once for each test process."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.cluster import PARTITIONS, Cluster, cluster
from tests.faults.members import programs
from tests.faults.stores import made_template
from tests.stores import PREFIX, fast_temp

if TYPE_CHECKING:
    from tests.faults.members import Programs

Make = Callable[..., AbstractAsyncContextManager[Cluster]]
"""Makes a cluster of the test's own; its arguments are those of `cluster` behind the third."""


@pytest.fixture(scope="session")
def started() -> Iterator[Programs]:
    with programs() as started:
        yield started


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A migrated data directory of PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=fast_temp()) as place:
        with ThreadPoolExecutor(1) as thread:  # a test's event loop may not be running yet
            made = thread.submit(lambda: asyncio.run(made_template(Path(place), PARTITIONS)))
        yield made.result()


@pytest.fixture
def make(started: Programs, template: Path) -> Iterator[Make]:
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=fast_temp()) as place:
        yield partial(cluster, Path(place), started, template)
