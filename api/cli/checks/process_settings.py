"""Checks this process: its Python and its settings; secrets are not printed."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from pydantic_settings import BaseSettings

from api.cli.checks.finding import Finding, hint, ok
from api.limits import Limits
from api.server_urls import LAST_PORT, redacted
from api.settings import Settings

MAX_HEALTH_PORTS = 64
"""Room for more workers than this is not worth a hint."""


def check(settings: Settings) -> list[Finding]:
    prefix = str(Limits.model_config["env_prefix"])
    changed = [
        *_changed(settings),
        *(f"{prefix}{setting}" for setting in _changed(settings.limits)),
    ]
    return [
        ok("Python", platform.python_version()),
        ok("settings", ", ".join(changed) if changed else "all have their defaults"),
        *_health(settings),
    ]


def _health(settings: Settings) -> Iterator[Finding]:
    """Checks that PORT is not soon after HEALTH_PORT, from which each worker of the API takes a port."""
    first = settings.health_port
    if not first:
        return
    last = settings.port - 1 if settings.listens_on_port and settings.port >= first else LAST_PORT
    room = last + 1 - first
    says = f"room for {room} workers from {first} on"
    if room >= MAX_HEALTH_PORTS:
        yield ok("HEALTH_PORT", says)
    else:
        yield hint("HEALTH_PORT", f"There is {says}: choose another if the API is to have more.")


def _changed(settings: BaseSettings) -> list[str]:
    """Returns NAME=value of each setting whose value is not the default."""
    fields = type(settings).model_fields
    return [
        f"{name.upper()}={redacted(str(getattr(settings, name)))}"
        for name, field in fields.items()
        if name != "limits"
        and getattr(settings, name) != field.get_default(call_default_factory=True)
    ]
