"""The command line: `tandem up` for everything at once, `tandem serve` and the roles for production."""

from __future__ import annotations

import typer

from api.cli.doctor import doctor
from api.cli.generations import generations
from api.cli.migrate import migrate_database
from api.cli.parked import parked
from api.cli.rebuild import rebuild
from api.cli.restored import restored
from api.cli.seed import seed
from api.cli.serve import api, projector, relay, serve, up
from api.cli.status import status
from api.cli.verify import verify

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

app.command()(up)
app.command()(serve)
app.command()(api)
app.command()(relay)
app.command()(projector)
app.command("migrate")(migrate_database)
app.command()(status)
app.command()(doctor)
app.command()(verify)
app.command()(rebuild)
app.command()(restored)
app.command()(seed)
app.add_typer(parked, name="parked")
app.add_typer(generations, name="generations")


@app.command()
def schema() -> None:
    """Print the GraphQL schema. Example: tandem schema > schema.graphql"""
    from api.schema import sdl  # which nothing else here needs

    typer.echo(sdl(), nl=False)


def main() -> None:
    """The entry point of the console script."""
    app()
