"""graphql-eslint's recommended rules for schemas; schema_rules.mjs says what is excepted, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.graphql_clients.node import Node

SCHEMA = ROOT / "schema.graphql"
UNTIDY = "type user { getName: String }"


async def test_the_schema_keeps_every_recommended_rule(node: Node) -> None:
    assert await node.tell("schema_rules.mjs", str(SCHEMA)) == []


async def test_a_type_without_description_or_id_and_with_a_small_letter_is_found(
    node: Node, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.graphql"
    schema.write_text(f"{SCHEMA.read_text()}\n{UNTIDY}\n")
    found = await node.tell("schema_rules.mjs", str(schema))
    assert {finding.split()[1].partition("/")[2] for finding in found} == {
        "naming-convention",
        "no-unreachable-types",
        "require-description",
        "strict-id-in-types",
    }
