"""Checks the memory of Redis: a rebuild needs room for a second read model."""

from __future__ import annotations

from typing import Any

from api.cli.checks.finding import Finding, hint, ok, wrong
from readside.generations.memory_capacity import FULL, is_full


def check(info: dict[str, Any]) -> Finding:
    limit, used = int(info.get("maxmemory", 0)), int(info["used_memory"])
    if is_full(info):
        return wrong("memory", FULL)
    data = int(info.get("used_memory_dataset", used))
    if limit and used + data > limit:
        return hint(
            "memory",
            f"Redis uses {_mb(used)} of maxmemory {_mb(limit)}, and a rebuild needs room for a second read"
            f" model; set maxmemory to {_mb(2 * used)} or more.",
        )
    return ok(
        "memory", f"{_mb(used)} of {_mb(limit)}" if limit else f"{_mb(used)}, without a limit"
    )


def _mb(size_bytes: int) -> str:
    return f"{-(-size_bytes // 1_000_000)}mb"
