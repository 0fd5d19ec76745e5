"""This process: its Python, and which settings are not the default. Secrets are not told."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from api.cli.checks.finding import Finding, hint, ok
from api.limits import Limits
from api.server_urls import LAST_PORT, redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_settings import BaseSettings

    from api.settings import Settings


MAX_HEALTH_PORTS = 64
"""Workers on one machine that nobody has more of."""


def look(settings: Settings) -> list[Finding]:
    prefix = str(Limits.model_config["env_prefix"])
    changed = [*_changed(settings), *(f"{prefix}{one}" for one in _changed(settings.limits))]
    return [
        ok("Python", platform.python_version()),
        ok("settings", ", ".join(changed) if changed else "all as by default"),
        *_health(settings),
    ]


def _health(settings: Settings) -> Iterator[Finding]:
    """Each worker of the API takes a port from HEALTH_PORT on, so PORT is better not among the next."""
    first = settings.health_port
    if not first:
        return
    room = settings.port - first if settings.port >= first else LAST_PORT + 1 - first
    says = f"room for {room} workers from {first} on"
    if room >= MAX_HEALTH_PORTS:
        yield ok("HEALTH_PORT", says)
    else:
        yield hint("HEALTH_PORT", f"There is {says}: choose another if the API shall have more.")


def _changed(settings: BaseSettings) -> list[str]:
    """NAME=value of each setting that has another value than by default."""
    fields = type(settings).model_fields
    return [
        f"{name.upper()}={redacted(str(getattr(settings, name)))}"
        for name, field in fields.items()
        if name != "limits"
        and getattr(settings, name) != field.get_default(call_default_factory=True)
    ]
