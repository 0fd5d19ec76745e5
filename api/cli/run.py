"""What all verbs have in common: settings in, and one sentence out if it cannot be done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
import typer
import uvloop
from pydantic import ValidationError

from api.cli.removed_settings import removed_settings
from api.errors import OperatorError
from api.limits import Limits
from api.observability import logs, otel
from api.settings import Settings
from domain.log.log_identity import ForeignLog
from domain.migrate import MigrationError
from readside.admin.maintenance import MaintenanceRefused
from readside.errors import NotServing
from readside.verify.verify import NoSuchUser

_log = structlog.get_logger(__name__)

OPERATOR_ERRORS = (
    OperatorError,
    MaintenanceRefused,
    NotServing,
    NoSuchUser,
    MigrationError,
    ForeignLog,
)
"""What a person can mend: str() says how."""


def run_async(
    command: Callable[[Settings], Coroutine[Any, Any, int | None]],
    *,
    allow_anonymous: bool = False,
    refused: int = 1,
    quiet: bool = False,
) -> None:
    """Runs a command in an event loop, and ends the process with the status it answers, if it does.

    What a person can mend is one sentence on standard error, and the exit status `refused`. With `quiet` the
    log has warnings only: whoever waits at a terminal sees what comes of it.
    """

    def act(settings: Settings) -> int | None:
        otel.configure(settings)
        return uvloop.run(command(settings))

    run_sync(act, allow_anonymous=allow_anonymous, refused=refused, quiet=quiet)


def run_sync(
    act: Callable[[Settings], int | None],
    *,
    allow_anonymous: bool = False,
    refused: int = 1,
    quiet: bool = False,
) -> None:
    """The same without an event loop."""
    try:
        settings = _settings()
        if allow_anonymous:
            settings = settings.model_copy(update={"allow_anonymous": True})
        hush = {"log_level": "warning"} if quiet and settings.log_level == "info" else {}
        logs.configure(settings.model_copy(update=hush))
        for message in removed_settings(os.environ):
            _log.warning("setting.removed", message=message)
        status = act(settings)
    except OPERATOR_ERRORS as error:
        typer.echo(f"tandem: {error}", err=True)
        sys.exit(refused)
    if status:
        sys.exit(status)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        prefix = Limits.model_config["env_prefix"] if error.title == Limits.__name__ else ""
        name = prefix + ".".join(map(str, first["loc"])).upper()
        wrong = f"The setting {name} is wrong" if name else "The settings do not go together"
        raise OperatorError(f"{wrong}: {first['msg']}.") from error
