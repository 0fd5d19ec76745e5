"""Apollo's composition accepts the subgraph, and its gateway runs plans through the service."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.acceptance.service import Client
from tests.interop.graphql_clients.conftest import serve
from tests.interop.graphql_clients.node import Node
from tests.interop.graphql_clients.packages import NotFetched, fetched
from tests.stores import fast_temp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.interop.graphql_clients.conftest import Serve

__all__ = ["serve"]

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    try:
        node_modules = fetched(Path(sys.prefix), HERE)
    except NotFetched as why:
        pytest.fail(str(why), pytrace=False)
    with tempfile.TemporaryDirectory(prefix="tandem-federation-", dir=fast_temp()) as place:
        yield Node(Path(place), node_modules, HERE)


async def test_a_gateway_joins_users_with_another_subgraph(node: Node, serve: Serve) -> None:
    async with serve(FEDERATION="true") as address, httpx.AsyncClient() as http:
        http.base_url = httpx.URL(f"http://{address}")
        user = await Client(http).create_user()
        said = await node.tell("gateway.mjs", f"http://{address}/graphql", user)
    assert said["composition"] == []
    *joined, extended, mutated = said["plans"]
    author = {"id": user, "name": "Alice", "orderCount": 0}
    for plan in joined:
        assert plan["called"] == ["reviews", "tandem"]
        authors = [review["author"] for review in plan["data"]["latestReviews"]]
        assert authors == [author, None, author]
    assert extended["called"] == ["tandem", "reviews"]
    reviews = [{"text": "Review 0"}, {"text": "Review 2"}]
    assert extended["data"] == {"user": {"name": "Alice", "reviews": reviews}}
    assert mutated["data"]["renameUser"]["user"] == {
        "name": "Alicia",
        "reviews": [{"id": "0"}, {"id": "2"}],
    }
