"""Runs a command: reads settings, opens stores, reports an error that an operator can fix as one line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from api.cli.open_stores import OpenStores
    from api.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

INTERRUPTED = 130
"""Exit status after SIGINT or SIGTERM, as shells have it for SIGINT."""


def run_on_stores(
    command: Callable[[OpenStores], Coroutine[Any, Any, int | None]],
    *,
    refused: int = 1,
    interrupted: str = "Interrupted.",
) -> None:
    """Runs a command on both stores until it ends or is interrupted; the log has warnings only."""

    async def run(settings: Settings) -> int | None:
        from api.cli.open_stores import open_stores

        async with open_stores(settings) as stores:
            return await command(stores)

    run_async(run, refused=refused, quiet=True, interrupted=interrupted)


def run_async(
    command: Callable[[Settings], Coroutine[Any, Any, int | None]],
    *,
    allow_anonymous: bool = False,
    refused: int = 1,
    quiet: bool = False,
    interrupted: str | None = None,
) -> None:
    """Runs a command in an event loop, and ends the process with the exit status that it returns.

    With `interrupted`, a signal cancels the command, and the process ends with this sentence and INTERRUPTED.
    """

    def run(settings: Settings) -> int | None:
        import uvloop

        from api.observability import otel

        otel.configure(settings)
        work = command(settings)
        return uvloop.run(work if interrupted is None else _run_until_signal(work, interrupted))

    run_sync(run, allow_anonymous=allow_anonymous, refused=refused, quiet=quiet)


def run_sync(
    command: Callable[[Settings], int | None],
    *,
    allow_anonymous: bool = False,
    refused: int = 1,
    quiet: bool = False,
) -> None:
    """Runs a command, and ends the process with the exit status that it returns.

    An error that an operator can fix is one line on standard error, and the exit status `refused`. With
    `quiet` the log has warnings only, because the output of the command says what it did.
    """
    try:
        settings = _read_settings(allow_anonymous=allow_anonymous)
        _configure_logs(settings, quiet=quiet)
        status = command(settings)
    except _operator_errors() as error:  # imported only after an exception was raised
        fail(error, refused)
    if status:
        sys.exit(status)


def fail(message: object, status: int = 1) -> NoReturn:
    """Prints one line on standard error, and ends the process with this exit status."""
    typer.echo(f"tandem: {message}", err=True)
    sys.exit(status)


def print_result(data: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Prints the result of a command: as JSON for a script, or as lines."""
    for line in [json.dumps(data)] if as_json else lines:
        typer.echo(line)


async def _run_until_signal(work: Coroutine[Any, Any, int | None], interrupted: str) -> int | None:
    from api.runtime.signals import run_until, stop_signals

    async def status() -> int:
        return await work or 0

    with stop_signals() as stop:
        done = await run_until(stop, status())
    if done is None:
        typer.echo(f"tandem: {interrupted}", err=True)
        return INTERRUPTED
    return done


def _operator_errors() -> tuple[type[Exception], ...]:
    """Returns the errors that an operator can fix: str() says how."""
    from api.operator_error import OperatorError
    from domain.log.log_identity import ForeignLog
    from domain.migrate import MigrationError
    from readside.admin.maintenance import MaintenanceRefused
    from readside.errors import NotServing
    from readside.verify.verify import NoSuchAggregate

    return (
        OperatorError,
        MaintenanceRefused,
        NotServing,
        NoSuchAggregate,
        MigrationError,
        ForeignLog,
    )


def _read_settings(*, allow_anonymous: bool) -> Settings:
    from pydantic import ValidationError

    from api.limits import Limits
    from api.operator_error import OperatorError
    from api.settings import Settings

    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        prefix = Limits.model_config["env_prefix"] if error.title == Limits.__name__ else ""
        name = prefix + ".".join(map(str, first["loc"])).upper()
        subject = f"The setting {name} is invalid" if name else "The settings contradict each other"
        raise OperatorError(f"{subject}: {first['msg']}.") from error
    return settings.model_copy(update={"allow_anonymous": True}) if allow_anonymous else settings


def _configure_logs(settings: Settings, *, quiet: bool) -> None:
    import structlog

    from api.cli.removed_settings import removed_settings
    from api.observability import logs

    if quiet and settings.log_level == "info":
        settings = settings.model_copy(update={"log_level": "warning"})
    logs.configure(settings)
    for message in removed_settings(os.environ):
        structlog.get_logger(__name__).warning("setting.removed", message=message)
