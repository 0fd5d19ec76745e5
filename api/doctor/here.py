"""This process: its Python, and which settings are not the default. Secrets are not told."""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING

from api.doctor.finding import Finding, ok
from api.limits import Limits

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

    from api.settings import Settings

_PASSWORD = re.compile(r"(://[^:@/]*):[^@/]+@")
_IN_QUERY = re.compile(r"(password=)[^&]*", re.IGNORECASE)


def look(settings: Settings) -> list[Finding]:
    prefix = str(Limits.model_config["env_prefix"])
    changed = [*_changed(settings), *(f"{prefix}{one}" for one in _changed(settings.limits))]
    return [
        ok("Python", platform.python_version()),
        ok("settings", ", ".join(changed) if changed else "all as by default"),
    ]


def _changed(settings: BaseSettings) -> list[str]:
    """NAME=value of each setting that has another value than by default."""
    fields = type(settings).model_fields
    return [
        f"{name.upper()}={masked(getattr(settings, name))}"
        for name, field in fields.items()
        if name != "limits"
        and getattr(settings, name) != field.get_default(call_default_factory=True)
    ]


def masked(value: object) -> str:
    """Of an address everything but its password; pydantic masks what is a secret as a whole."""
    return _IN_QUERY.sub(r"\1***", _PASSWORD.sub(r"\1:***@", str(value)))
