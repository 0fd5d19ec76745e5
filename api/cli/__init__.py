"""The command line: `tandem up` runs everything, `tandem serve` and the single roles are for production.

The module of a command imports what the command needs only when it runs, so that `--help` and shell
completion are fast.
"""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.doctor import doctor
from api.cli.event_history import events
from api.cli.generations import generations
from api.cli.migrate import migrate_database
from api.cli.parked import parked
from api.cli.rebuild import rebuild
from api.cli.restored import restored
from api.cli.seed import seed
from api.cli.serve import api, projector, relay, serve, up
from api.cli.status import status
from api.cli.token import token
from api.cli.verify import verify

# Help as plain text, because rich takes longer to import than all else that `--help` needs.
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"tandem {version('tandem')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Run Tandem: `tandem up` runs everything, `tandem serve` and the single roles are for production."""


app.command()(up)
app.command()(serve)
app.command()(api)
app.command()(relay)
app.command()(projector)
app.command("migrate")(migrate_database)
app.command()(status)
app.command()(doctor)
app.command()(verify)
app.command()(events)
app.command()(rebuild)
app.command()(restored)
app.command()(seed)
app.command()(token)
app.add_typer(parked, name="parked")
app.add_typer(generations, name="generations")


@app.command()
def schema() -> None:
    """Print the GraphQL schema. Example: tandem schema > schema.graphql"""
    from api.schema.merged import sdl

    typer.echo(sdl(), nl=False)


def main() -> None:
    """Runs the console script."""
    app()
