"""Tests of the deployment files: their settings exist, and each of their command lines runs."""

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

import httpx
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
from tests import forked, manifests
from tests.limited import limited
from tests.processes import ROOT, ended, free_port, free_ports, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.forked import Member

SETTINGS = {name.upper() for name in Settings.model_fields} | {
    f"LIMIT_{name.upper()}" for name in Limits.model_fields
}
FOREIGN_VARIABLES = {
    "PATH",
    "PGPASSWORD",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "PIP_NO_CACHE_DIR",
    "PIP_ONLY_BINARY",
}
SPECIAL_PASSWORD = """p/w@1 "2" \\3'4$5`6#7%2F:é"""
WORKERS = 2
ONCE = Retry(NoBackoff(), 0)
LONG_RUNNING = {"api", "relay", "projector", "serve"}
"""Commands that run until a signal."""

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
BUILT = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
UNIT = (ROOT / "docs/tandem.service").read_text()


def instructions(name: str) -> list[str]:
    """Returns the arguments of each instruction of this name in the Dockerfile."""
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def command_lines() -> Iterator[list[str]]:
    """Yields the arguments of every `tandem` command in the files."""
    for service in BUILT.values():
        yield service["command"]
    [entry], [command] = instructions("ENTRYPOINT"), instructions("CMD")
    assert yaml.safe_load(entry) == ["tandem"]
    yield yaml.safe_load(command)
    for line in re.findall(r"^Exec\w+=(.+)$", UNIT, re.MULTILINE):
        program, *words = shlex.split(line)
        assert program.endswith("/bin/tandem")
        yield words
    for container in manifests.CONTAINERS.values():
        yield container["args"]


def test_every_setting_in_the_files_exists() -> None:
    named = {name for service in BUILT.values() for name in service["environment"]}
    for line in [*instructions("ENV"), *re.findall(r"^Environment=(.+)$", UNIT, re.MULTILINE)]:
        named |= {word.partition("=")[0] for word in shlex.split(line)}
    assert named - FOREIGN_VARIABLES <= SETTINGS


def test_the_image_copies_files_that_exist_and_are_not_ignored() -> None:
    not_ignored = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = {
        source
        for line in instructions("COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    }
    assert copied == not_ignored
    assert all((ROOT / source).exists() for source in copied)
    assert instructions("USER") == ["10001"]


def test_a_service_that_others_depend_on_has_a_health_check_or_ends() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            healthy = wait["condition"] == "service_healthy"
            assert ("healthcheck" in services[name]) == healthy
    assert {"api", "relay", "projector", "postgres", "valkey", "migrate"} == set(services)
    assert all("healthcheck" in service for name, service in services.items() if name != "migrate")


def test_no_password_is_part_of_a_url_so_that_any_is_possible() -> None:
    urls = [
        value
        for service in BUILT.values()
        for value in service["environment"].values()
        if "://" in value
    ]
    assert urls
    assert not [url for url in urls if "$" in url]


def test_a_unit_is_restarted_until_its_stores_are_available() -> None:
    before, _, _ = UNIT.partition("[Service]")
    assert "StartLimitIntervalSec=0" in before.splitlines()


@pytest.fixture
async def locked_redis_url(redis_url: str) -> AsyncIterator[str]:
    """A Valkey that requires a password, as that of compose.yaml does."""
    async with Redis.from_url(redis_url) as redis:
        await redis.config_set("requirepass", SPECIAL_PASSWORD)
        try:
            yield redis_url
        finally:
            await redis.config_set("requirepass", "")


async def test_every_command_line_runs(
    empty_database_url: str, locked_redis_url: str, tmp_path: Path
) -> None:
    common = {
        "AUTH_SECRET": "s" * 32,
        "DATABASE_URL": empty_database_url,
        "REDIS_URL": locked_redis_url,
        "REDIS_PASSWORD": SPECIAL_PASSWORD,
    }
    unique = dict.fromkeys(map(tuple, command_lines()))
    lines = sorted(map(list, unique), key=lambda line: line[0] in LONG_RUNNING)  # migrate first
    assert ["migrate"] in lines
    async with AsyncExitStack() as stack, httpx.AsyncClient(verify=False) as http:
        started: list[tuple[list[str], Member]] = []
        for number, words in enumerate(lines):
            first = free_ports(1 + WORKERS)  # chosen separately they could be the same
            env = {**common, "PORT": str(first), "HEALTH_PORT": str(first + 1)}
            log = tmp_path / f"{number}.log"
            process = await stack.enter_async_context(forked.running(*words, env=env, log=log))
            if words[0] in LONG_RUNNING:
                started.append((words, process))
                await healthy(words, env)
                for path, port in manifests.probed(words):
                    number_of_port = env["HEALTH_PORT" if port == "health" else "PORT"]
                    url = f"http://127.0.0.1:{number_of_port}{path}"
                    assert (await http.get(url)).status_code == 200, url
            else:
                assert await ended(process, 30) == 0, log.read_text()
        for words, process in started:
            assert process.returncode is None, words
            process.send_signal(signal.SIGTERM)
            assert await ended(process, 20) == 0, words


async def healthy(words: list[str], env: dict[str, str]) -> None:
    """Returns when the health check succeeds; a command that is not in compose.yaml has that of a relay."""
    checks = {tuple(spec["command"]): spec.get("healthcheck") for spec in BUILT.values()}
    kind, python, *check = (checks.get(tuple(words)) or checks["relay",])["test"]
    assert (kind, python) == ("CMD", "python")
    async with limited(30):
        while True:
            probe = await asyncio.create_subprocess_exec(
                sys.executable, *check, env=env, stderr=asyncio.subprocess.DEVNULL
            )
            if await probe.wait() == 0:
                return


def test_the_health_check_covers_each_worker() -> None:
    words, check = BUILT["api"]["command"], BUILT["api"]["healthcheck"]["test"][-1]
    assert words == ["api", "--workers", str(WORKERS)]
    assert f"range({WORKERS})" in check


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_limits_and_no_more_rights_than_it_needs(service: str) -> None:
    spec = SERVICES[service]
    assert spec["mem_limit"]
    assert spec["pids_limit"] > 0
    assert spec["read_only"] is True
    assert spec["cap_drop"] == ["ALL"]
    assert spec["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "devices", "pid", "ipc", "network_mode"} & spec.keys()
    assert service in BUILT or spec["user"] not in {"root", "0"}


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
    assert [name for name, spec in SERVICES.items() if "ports" in spec] == ["api"]
    assert SERVICES["api"]["networks"] == ["edge", "stores"]
    others = {name: spec["networks"] for name, spec in SERVICES.items() if name != "api"}
    assert others == {name: ["stores"] for name in others}


def test_no_password_is_on_a_command_line() -> None:
    for name, spec in SERVICES.items():
        check = spec.get("healthcheck", {}).get("test", [])
        for word in (*spec.get("entrypoint", []), *spec["command"], *check):
            assert not re.search(r"(?<!\$)\$\{?\w*(PASSWORD|SECRET)", word), name


@pytest.mark.parametrize(
    ("service", "variable"),
    [("postgres", "POSTGRES_IMAGE"), ("valkey", "VALKEY_IMAGE"), ("api", "PYTHON_IMAGE")],
)
def test_each_image_can_be_replaced_by_one_with_a_digest(service: str, variable: str) -> None:
    spec = SERVICES[service]
    image = spec["build"]["args"][variable] if service in BUILT else spec["image"]
    default = re.fullmatch(rf"\$\{{{variable}:-([a-z0-9/.:-]+)\}}", image)
    assert default
    if service in BUILT:
        assert instructions("ARG") == [f"PYTHON_IMAGE={default[1]}"]
        assert {line.split()[0] for line in instructions("FROM")} == {"${PYTHON_IMAGE}"}


def test_the_image_installs_only_files_with_known_hashes() -> None:
    lines = DOCKERFILE.replace("\\\n", "").splitlines()
    installations = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^&\n]*", "\n".join(lines))
    assert len(installations) == 5
    for command in installations:
        words = set(command.split())
        assert "--require-hashes" in words or {"--no-index", "--no-deps"} <= words, command
    assert "PIP_ONLY_BINARY=:all:" in instructions("ENV")[0].split()


@pytest.mark.parametrize("password", [SPECIAL_PASSWORD, "plain"], ids=["special", "plain"])
async def test_the_valkey_of_compose_requires_its_password(tmp_path: Path, password: str) -> None:
    [script] = SERVICES["valkey"]["command"]
    script = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", script).replace("$$", "$")
    port = free_port()
    script = script.replace("valkey-server -", f"{binary()} - --port {port} --dir {tmp_path}")
    env = {"REDISCLI_AUTH": password}
    async with (
        running("/bin/sh", "-c", script, env=env, log=tmp_path / "log") as process,
        Redis(port=port, retry=ONCE) as unauthenticated,
        Redis(port=port, password=password, retry=ONCE, decode_responses=True) as authenticated,
    ):
        async with limited(10):
            while not (tmp_path / "appendonlydir").exists() or not await replies(authenticated):
                assert process.returncode is None, (tmp_path / "log").read_text()
                await asyncio.sleep(0.01)
        with pytest.raises(AuthenticationError):
            await unauthenticated.ping()
        assert (await authenticated.config_get("maxmemory-policy")) == {
            "maxmemory-policy": "noeviction"
        }
        command = Path(f"/proc/{process.pid}/cmdline")
        assert not command.exists() or password.encode() not in command.read_bytes()
        process.send_signal(signal.SIGTERM)  # reaches the server, because no shell is its parent
        assert await ended(process, 10) == 0


async def replies(redis: Redis) -> bool:
    with suppress(RedisConnectionError):
        return bool(await redis.ping())
    return False


@pytest.mark.parametrize("service", BUILT)
def test_the_processes_end_before_they_are_killed(service: str) -> None:
    timeout_seconds = Settings.model_fields["shutdown_timeout"].default
    assert int(BUILT[service]["stop_grace_period"].removesuffix("s")) > timeout_seconds
