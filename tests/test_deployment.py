"""The files to deploy with fit the code: their settings exist, and each of their command lines runs here."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]

from api.limits import Limits
from api.settings import Settings
from tests.processes import ROOT, TANDEM, free_ports, running

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

SETTINGS = {name.upper() for name in Settings.model_fields} | {
    f"LIMIT_{name.upper()}" for name in Limits.model_fields
}
OF_OTHERS = {"PATH", "PGPASSWORD", "PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"}
WORKERS = 2
STAYS = {"api", "relay", "projector", "serve"}
"""Verbs that run until they are told to end."""

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
OURS = {name: made for name, made in COMPOSE["services"].items() if "build" in made}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
UNIT = (ROOT / "docs/tandem.service").read_text()


def instructions(name: str) -> list[str]:
    """What stands behind each instruction of this name in the Dockerfile."""
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def command_lines() -> Iterator[list[str]]:
    """Every `tandem ...` of the files, without `tandem`."""
    for service in OURS.values():
        yield service["command"]
    [entry], [command] = instructions("ENTRYPOINT"), instructions("CMD")
    assert yaml.safe_load(entry) == ["tandem"]
    yield yaml.safe_load(command)
    for line in re.findall(r"^Exec\w+=(.+)$", UNIT, re.MULTILINE):
        program, *words = shlex.split(line)
        assert program.endswith("/bin/tandem")
        yield words


def test_every_setting_that_is_named_exists() -> None:
    named = {name for service in OURS.values() for name in service["environment"]}
    for line in [*instructions("ENV"), *re.findall(r"^Environment=(.+)$", UNIT, re.MULTILINE)]:
        named |= {word.partition("=")[0] for word in shlex.split(line)}
    assert named - OF_OTHERS <= SETTINGS


def test_the_image_is_made_of_what_is_there_and_let_through() -> None:
    through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = {
        source
        for line in instructions("COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    }
    assert copied == through
    assert all((ROOT / source).exists() for source in copied)
    assert instructions("USER") == ["10001"]


def test_whoever_is_waited_for_has_a_health_check_or_ends() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            healthy = wait["condition"] == "service_healthy"
            assert ("healthcheck" in services[name]) == healthy
    assert {"api", "relay", "projector", "postgres", "valkey", "migrate"} == set(services)
    assert all("healthcheck" in service for name, service in services.items() if name != "migrate")


def test_any_password_will_do_because_none_is_part_of_a_url() -> None:
    urls = [
        value
        for service in OURS.values()
        for value in service["environment"].values()
        if "://" in value
    ]
    assert urls
    assert not [url for url in urls if "$" in url]


def test_a_unit_is_started_again_for_as_long_as_it_takes_its_stores_to_come() -> None:
    before, _, _ = UNIT.partition("[Service]")
    assert "StartLimitIntervalSec=0" in before.splitlines()


async def test_every_command_line_runs(
    empty_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    given = {"AUTH_SECRET": "s" * 32, "DATABASE_URL": empty_database_url, "REDIS_URL": redis_url}
    lines = sorted(command_lines(), key=lambda line: line[0] in STAYS)  # migrate first
    assert ["migrate"] in lines
    async with AsyncExitStack() as stack:
        started: list[tuple[list[str], Process]] = []
        for number, words in enumerate(lines):
            first = free_ports(1 + WORKERS)  # chosen apart, one could be the other
            env = {**given, "PORT": str(first), "HEALTH_PORT": str(first + 1)}
            log = tmp_path / f"{number}.log"
            process = await stack.enter_async_context(running(TANDEM, *words, env=env, log=log))
            if words[0] in STAYS:
                started.append((words, process))
                await healthy(words, env)
            else:
                assert await asyncio.wait_for(process.wait(), 30) == 0, log.read_text()
        for words, process in started:
            assert process.returncode is None, words
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) == 0, words


async def healthy(words: list[str], env: dict[str, str]) -> None:
    """Returns when its health check says so; what is not in compose.yaml is one process, as a relay is."""
    checks = {tuple(made["command"]): made.get("healthcheck") for made in OURS.values()}
    kind, python, *check = (checks.get(tuple(words)) or checks["relay",])["test"]
    assert (kind, python) == ("CMD", "python")
    async with asyncio.timeout(30):
        while True:
            asked = await asyncio.create_subprocess_exec(
                sys.executable, *check, env=env, stderr=asyncio.subprocess.DEVNULL
            )
            if await asked.wait() == 0:
                return


def test_the_health_of_each_worker_is_looked_at() -> None:
    words, check = OURS["api"]["command"], OURS["api"]["healthcheck"]["test"][-1]
    assert words == ["api", "--workers", str(WORKERS)]
    assert f"range({WORKERS})" in check


@pytest.mark.parametrize("service", OURS)
def test_the_processes_end_before_they_are_killed(service: str) -> None:
    patience = Settings.model_fields["shutdown_timeout"].default
    assert int(OURS[service]["stop_grace_period"].removesuffix("s")) > patience
