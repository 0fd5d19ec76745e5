"""A service as a user starts it, and node with the clients that others wrote."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.acceptance.test_processes import tandem
from tests.interop.graphql_clients.node import Node
from tests.interop.graphql_clients.packages import NotFetched, fetched
from tests.processes import HOST, free_port
from tests.stores import PARTITIONS, fast_temp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


MISSING = (
    "No page is tried in a browser, because there is no chromium on the PATH:"
    " install it (Debian: apt install chromium)."
)


class Serve(Protocol):
    def __call__(self, **environment: str) -> AbstractAsyncContextManager[str]:
        """A process with everything in it, and these settings; the value is its host and port."""


@pytest.fixture
def serve(database_url: str, redis_url: str, tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def serve(**environment: str) -> AsyncIterator[str]:
        stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        settings = {**stores, "PARTITIONS": str(PARTITIONS), **environment}
        port = free_port()
        async with tandem(tmp_path, "serve", port=port, **settings):
            yield f"{HOST}:{port}"

    return serve


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    try:
        node_modules = fetched(Path(sys.prefix))
    except NotFetched as why:
        pytest.fail(str(why), pytrace=False)
    # Not pytest's directory for us: its path is too long for the sockets that browsers make.
    with tempfile.TemporaryDirectory(prefix="tandem-clients-", dir=fast_temp()) as place:
        yield Node(Path(place), node_modules)


@pytest.fixture
def chromium() -> str:
    """A developer may do without; CI installs it, in .ci/setup/programs.sh."""
    if found := shutil.which("chromium"):
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(MISSING, pytrace=False)
    pytest.skip(MISSING)
