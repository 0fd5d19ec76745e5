"""Persisted queries of urql, Apollo Client and Relay: an unknown hash makes the first two send the text."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from api.engine.documents.trusted import TrustedDocuments, load
from tests.api.in_memory_app import ALICE, edge, served
from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from api.engine.documents.trusted import Mode
    from tests.interop.graphql_clients.conftest import Serve
    from tests.interop.graphql_clients.node import Node

TEXT = "query Hello {\n  users {\n    totalCount\n    __typename\n  }\n}"
DATA = {"users": {"totalCount": 0, "__typename": "UserConnection"}}


@pytest.mark.parametrize(
    ("mode", "known", "sends_text"),
    [
        ("off", False, True),
        ("allow", False, True),
        ("allow", True, False),
        ("require", True, False),
    ],
)
async def test_a_client_sends_the_text_only_where_its_hash_is_unknown(
    node: Node, mode: Mode, known: bool, sends_text: bool
) -> None:
    documents = {sha256(TEXT.encode()).hexdigest(): TEXT} if known else {}
    async with (
        edge(trusted=TrustedDocuments(mode=mode, documents=documents)) as made,
        served(made.app) as address,
    ):
        told: dict[str, Any] = await node.tell("persisted.mjs", address)
    for name, client in told.items():
        methods, texts = zip(*client["requests"], strict=True)
        assert client["data"] == DATA, name
        assert methods[0] == name.split()[1]
        assert texts == ((False, True) if sends_text else (False,)), name


async def test_relay_executes_an_operation_by_the_id_in_the_manifest_of_its_compiler(
    node: Node, tmp_path: Path
) -> None:
    manifest = tmp_path / "persisted.json"
    await node.tell("relay_persisted.mjs", "compile", str(ROOT / "schema.graphql"), str(manifest))
    async with (
        edge(trusted=load("require", manifest)) as made,
        served(made.app) as address,
    ):
        made.reads.put(ALICE, "Alice")
        told = await node.tell("relay_persisted.mjs", "execute", address, str(ALICE))
    assert told == {name: {"user": {"name": "Alice"}} for name in ("doc_id", "id", "documentId")}


async def test_a_text_that_apollo_has_sent_to_one_process_is_known_to_all(
    node: Node, serve: Serve
) -> None:
    async with (
        serve(TRUSTED_DOCUMENTS="register") as one,
        serve(TRUSTED_DOCUMENTS="register") as other,
    ):
        told: dict[str, Any] = await node.tell("apq.mjs", one, other)
    for method in ("POST", "GET"):
        first, second = told[f"{method} {one}"], told[f"{method} {other}"]
        assert first["data"] == second["data"]
        assert first["data"]["createUser"]["version"] == 1
        assert first["requests"] == [
            [method, False],
            *[["POST", sent] for sent in (True, False, True)],
        ]
        assert second["requests"] == [[method, False], ["POST", False]]
