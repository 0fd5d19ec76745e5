"""The files to deploy with fit the code: their settings exist, and each of their command lines runs here."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from api.embedded.child_process import PASSED_VARIABLES, store_environment
from api.embedded.valkey import binary
from api.limits import Limits
from api.settings import Settings
from tests.limited import limited
from tests.processes import ROOT, TANDEM, ended, free_port, free_ports, running

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

SETTINGS = {name.upper() for name in Settings.model_fields} | {
    f"LIMIT_{name.upper()}" for name in Limits.model_fields
}
OF_OTHERS = {
    "PATH",
    "PGPASSWORD",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "PIP_NO_CACHE_DIR",
    "PIP_ONLY_BINARY",
}
ODD_PASSWORD = """p/w@1 "2" \\3'4$5`6#7%2F:é"""
WORKERS = 2
ONCE = Retry(NoBackoff(), 0)
STAYS = {"api", "relay", "projector", "serve"}
"""Verbs that run until they are told to end."""

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: made for name, made in SERVICES.items() if "build" in made}
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


@pytest.fixture
async def locked_redis_url(redis_url: str) -> AsyncIterator[str]:
    """A Valkey that wants a password, as that of compose.yaml does."""
    async with Redis.from_url(redis_url) as redis:
        await redis.config_set("requirepass", ODD_PASSWORD)
        try:
            yield redis_url
        finally:
            await redis.config_set("requirepass", "")


async def test_every_command_line_runs(
    empty_database_url: str, locked_redis_url: str, tmp_path: Path
) -> None:
    given = {
        "AUTH_SECRET": "s" * 32,
        "DATABASE_URL": empty_database_url,
        "REDIS_URL": locked_redis_url,
        "REDIS_PASSWORD": ODD_PASSWORD,
    }
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
                assert await ended(process, 30) == 0, log.read_text()
        for words, process in started:
            assert process.returncode is None, words
            process.send_signal(signal.SIGTERM)
            assert await ended(process, 20) == 0, words


async def healthy(words: list[str], env: dict[str, str]) -> None:
    """Returns when its health check says so; what is not in compose.yaml is one process, as a relay is."""
    checks = {tuple(made["command"]): made.get("healthcheck") for made in OURS.values()}
    kind, python, *check = (checks.get(tuple(words)) or checks["relay",])["test"]
    assert (kind, python) == ("CMD", "python")
    async with limited(30):
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


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_limits_and_no_more_rights_than_it_needs(service: str) -> None:
    made = SERVICES[service]
    assert made["mem_limit"]
    assert made["pids_limit"] > 0
    assert made["read_only"] is True
    assert made["cap_drop"] == ["ALL"]
    assert made["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "devices", "pid", "ipc", "network_mode"} & made.keys()
    assert service in OURS or made["user"] not in {"root", "0"}


def test_the_page_about_security_names_the_variables_of_the_stores_and_leads_to_what_exists() -> (
    None
):
    page = (ROOT / "docs/SECURITY.md").read_text()
    [line] = re.findall(r"environment variables (.+), and none of the", page)
    assert set(re.findall(r"`(\w+)`", line)) == store_environment().keys() | set(PASSED_VARIABLES)
    for path, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page):
        target = ROOT / "docs" / (path or "SECURITY.md")
        titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        assert not anchor or anchor in slugs, f"{path}#{anchor}"


def test_only_the_api_can_be_reached_from_outside() -> None:
    assert COMPOSE["networks"]["stores"]["internal"] is True
    assert [name for name, made in SERVICES.items() if "ports" in made] == ["api"]
    assert SERVICES["api"]["networks"] == ["edge", "stores"]
    others = {name: made["networks"] for name, made in SERVICES.items() if name != "api"}
    assert others == {name: ["stores"] for name in others}


def test_no_password_is_on_a_command_line() -> None:
    for name, made in SERVICES.items():
        check = made.get("healthcheck", {}).get("test", [])
        for word in (*made.get("entrypoint", []), *made["command"], *check):
            assert not re.search(r"(?<!\$)\$\{?\w*(PASSWORD|SECRET)", word), name


@pytest.mark.parametrize(
    ("service", "variable"),
    [("postgres", "POSTGRES_IMAGE"), ("valkey", "VALKEY_IMAGE"), ("api", "PYTHON_IMAGE")],
)
def test_each_image_can_be_given_by_its_digest(service: str, variable: str) -> None:
    made = SERVICES[service]
    image = made["build"]["args"][variable] if service in OURS else made["image"]
    default = re.fullmatch(rf"\$\{{{variable}:-([a-z0-9/.:-]+)\}}", image)
    assert default
    if service in OURS:
        assert instructions("ARG") == [f"PYTHON_IMAGE={default[1]}"]
        assert {line.split()[0] for line in instructions("FROM")} == {"${PYTHON_IMAGE}"}


def test_the_image_is_made_of_files_whose_hashes_are_known() -> None:
    lines = DOCKERFILE.replace("\\\n", "").splitlines()
    installations = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^&\n]*", "\n".join(lines))
    assert len(installations) == 5
    for command in installations:
        words = set(command.split())
        assert "--require-hashes" in words or {"--no-index", "--no-deps"} <= words, command
    assert "PIP_ONLY_BINARY=:all:" in instructions("ENV")[0].split()


@pytest.mark.parametrize("password", [ODD_PASSWORD, "plain"], ids=["odd", "plain"])
async def test_the_valkey_of_compose_wants_its_password(tmp_path: Path, password: str) -> None:
    [script] = SERVICES["valkey"]["command"]
    script = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", script).replace("$$", "$")
    port = free_port()
    script = script.replace("valkey-server -", f"{binary()} - --port {port} --dir {tmp_path}")
    env = {"REDISCLI_AUTH": password}
    async with (
        running("/bin/sh", "-c", script, env=env, log=tmp_path / "log") as process,
        Redis(port=port, retry=ONCE) as stranger,
        Redis(port=port, password=password, retry=ONCE, decode_responses=True) as known,
    ):
        async with limited(10):
            while not (tmp_path / "appendonlydir").exists() or not await answers(known):
                assert process.returncode is None, (tmp_path / "log").read_text()
                await asyncio.sleep(0.01)
        with pytest.raises(AuthenticationError):
            await stranger.ping()
        assert (await known.config_get("maxmemory-policy")) == {"maxmemory-policy": "noeviction"}
        command = Path(f"/proc/{process.pid}/cmdline")
        assert not command.exists() or password.encode() not in command.read_bytes()
        process.send_signal(signal.SIGTERM)  # reaches the server, and no shell before it
        assert await ended(process, 10) == 0


async def answers(redis: Redis) -> bool:
    with suppress(RedisConnectionError):
        return bool(await redis.ping())
    return False


@pytest.mark.parametrize("service", OURS)
def test_the_processes_end_before_they_are_killed(service: str) -> None:
    patience = Settings.model_fields["shutdown_timeout"].default
    assert int(OURS[service]["stop_grace_period"].removesuffix("s")) > patience
