"""A variable that was a setting once is accepted, and the start logs what it is now."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli.removed_settings import removed_settings
from api.settings import Settings
from tests.processes import ROOT

MERGED = ["LIMIT_QUERIES", "LIMIT_MUTATIONS"]
FIXED = {
    "AUTH_LEEWAY": "10",
    "AUTH_JWKS_INTERVAL": "10",
    "CONNECTION_MAX_AGE": "300",
    "LIMIT_SOURCE_CHARACTERS": "65536",
    "LIMIT_NAME_CHARACTERS": "100",
    "LIMIT_COMMENTS": "200",
    "LIMIT_LISTS": "3",
    "LIMIT_ROOT_FIELDS": "10",
    "LIMIT_SELECTIONS": "500",
    "LIMIT_REPEATS": "50",
    "LIMIT_MEMBERS": "200",
    "LIMIT_DIRECTIVES": "50",
    "LIMIT_DIRECTIVES_OF_NODE": "4",
    "LIMIT_FRAGMENTS": "50",
    "LIMIT_VALIDATION_ERRORS": "20",
    "LIMIT_COERCION_ERRORS": "20",
    "LIMIT_RESPONSE_ERRORS": "100",
    "LIMIT_CACHED_DOCUMENTS": "1000",
    "LIMIT_CACHED_CHARACTERS": "1048576",
    "LIMIT_PLANS": "1000",
    "LIMIT_PLAN_CHARACTERS": "4194304",
    "LIMIT_READS": "20000",
    "LIMIT_OPERATIONS": "100",
    "LIMIT_FRAMES": "1000",
    "LIMIT_UNSENT_BYTES": "104857600",
    "LIMIT_INIT_SECONDS": "10",
    "LIMIT_SEND_SECONDS": "10",
    "LIMIT_PING_SECONDS": "20",
    "LIMIT_KEEP_ALIVE_SECONDS": "15",
}
DERIVED = {
    "LIMIT_SOCKETS": "its value is half of LIMIT_CONNECTIONS",
    "LIMIT_RESPONSE_FIELDS": "its value is 4 x LIMIT_COST_BUDGET, but at least 20000",
    "REDIS_CONNECTIONS": "queries share one connection",
    "GRAPHIQL": "GraphiQL is shown if INTROSPECTION shows the schema",
}


@pytest.mark.parametrize("name", FIXED)
def test_a_setting_that_was_removed_is_reported_with_its_value(name: str) -> None:
    [message] = removed_settings({name: "7", "PATH": "/bin"})
    assert message == f"{name} is not a setting any more; its value is {FIXED[name]}."


@pytest.mark.parametrize("name", DERIVED)
def test_a_setting_that_is_derived_is_reported_with_its_rule(name: str) -> None:
    [message] = removed_settings({name: "7"})
    assert message == f"{name} is not a setting any more; {DERIVED[name]}."


@pytest.mark.parametrize("name", MERGED)
def test_a_setting_that_was_merged_takes_effect_under_its_new_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(removed_settings({name: "7"})) == [f"{name} is LIMIT_CONCURRENCY now."]
    monkeypatch.setenv(name, "7")
    assert Settings().limits.concurrency == 7
    monkeypatch.setenv("LIMIT_CONCURRENCY", "8")
    assert Settings().limits.concurrency == 8


def test_settings_are_not_reported() -> None:
    settings = {"PORT", "LIMIT_DEPTH", "LIMIT_CONCURRENCY", "OTEL_SERVICE_NAME", "LIMIT_NOTHING"}
    assert list(removed_settings(dict.fromkeys(settings, "7"))) == []


def test_the_start_logs_one_warning_for_each_removed_setting() -> None:
    process = subprocess.run(
        [Path(sys.executable).parent / "tandem", "migrate"],
        env={"LIMIT_LISTS": "7", "LIMIT_QUERIES": "7", "LOG_FORMAT": "json"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in process.stderr.splitlines() if line.startswith("{")]
    assert [(line["level"], line["event"], line["message"]) for line in lines] == [
        (
            "warning",
            "setting.removed",
            "LIMIT_LISTS is not a setting any more; its value is 3.",
        ),
        ("warning", "setting.removed", "LIMIT_QUERIES is LIMIT_CONCURRENCY now."),
    ]
