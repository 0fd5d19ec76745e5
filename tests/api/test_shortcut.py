"""A plain POST is answered past routing and middleware, and nobody can tell from the answer."""

from __future__ import annotations

import httpx

from api.access.door import Access
from tests.api.edge import edge

ASK = {"query": "{ __typename }"}


async def test_the_answer_is_the_same_with_and_without_the_shortcut() -> None:
    async with edge(access=Access(origins=("https://here.example",))) as made:
        straight = await made.client.post("/graphql", json=ASK)
        headers = {"origin": "https://here.example"}
        around = await made.client.post("/graphql", json=ASK, headers=headers)
    assert straight.status_code == around.status_code == 200
    assert straight.content == around.content
    assert "access-control-allow-origin" in around.headers
    assert straight.headers.items() <= around.headers.items()


async def test_other_paths_and_methods_go_the_usual_way() -> None:
    async with edge() as made:
        for method, path in (("POST", "/graphql/"), ("POST", "/elsewhere"), ("POST", "/livez")):
            answer: httpx.Response = await made.client.request(method, path, json=ASK)
            assert answer.status_code in (307, 404, 405), path
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await made.client.put("/graphql", json=ASK)).status_code == 405
