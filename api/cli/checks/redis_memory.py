"""The memory of Redis: a rebuild needs room for a second read model beside the one that serves."""

from __future__ import annotations

from typing import Any

from api.cli.checks.finding import Finding, hint, ok, wrong
from readside.generations.memory_capacity import FULL, is_full


def look(info: dict[str, Any]) -> Finding:
    most, used = int(info.get("maxmemory", 0)), int(info["used_memory"])
    if is_full(info):
        return wrong("memory", FULL)
    data = int(info.get("used_memory_dataset", used))
    if most and used + data > most:
        return hint(
            "memory",
            f"Redis uses {_mb(used)} of maxmemory {_mb(most)}, and a rebuild needs room for a second read"
            f" model; set maxmemory to {_mb(2 * used)} or more.",
        )
    return ok("memory", f"{_mb(used)} of {_mb(most)}" if most else f"{_mb(used)}, without a limit")


def _mb(number: int) -> str:
    return f"{-(-number // 1_000_000)}mb"
