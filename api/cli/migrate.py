"""tandem migrate: applies or lists the migrations that the database does not have yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.run import AsJson, print_result, run_async

if TYPE_CHECKING:
    from api.settings import Settings
    from domain.users.email_keys import SharedAddress

MIGRATIONS_PENDING = 3

NOTHING_TO_DO = "Nothing to do: the database has all migrations."


def migrate_database(
    plan: Annotated[bool, typer.Option("--plan", help="Only list what would be applied.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply the migrations that DATABASE_URL does not have yet.

    Example: tandem migrate --plan

    Exit status: 0 all are applied; 1 they cannot be applied; with --plan 3 if one is to be applied.
    """

    async def run(settings: Settings) -> int:
        from api.cli.open_database import located
        from api.runtime.migrations import apply_migrations, pending_migrations

        settings = located(settings, "database_url")
        if plan:
            names = await pending_migrations(settings)
            lines = [f"would apply {name}" for name in names] or [NOTHING_TO_DO]
            print_result({"pending": names}, lines, as_json=as_json)
            return MIGRATIONS_PENDING if names else 0
        names, shared = await apply_migrations(settings)
        _print_applied(names, shared, as_json=as_json)
        return 0

    run_async(run)


def _print_applied(names: list[str], shared: list[SharedAddress], *, as_json: bool) -> None:
    import msgspec

    data: dict[str, Any] = {"applied": names}
    if shared:
        data["shared"] = msgspec.to_builtins(shared)
    lines = [f"applied {name}" for name in names] or [NOTHING_TO_DO]
    print_result(data, [*lines, *map(_sentence, shared)], as_json=as_json)


def _sentence(shared: SharedAddress) -> str:
    return (
        f"The users {shared.holder} and {shared.other} share the address {shared.address}, which was two"
        " under older rules; let one of them change it."
    )
