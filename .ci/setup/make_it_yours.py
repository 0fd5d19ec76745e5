"""Makes a service of your own of this one: gives it another name, and removes the example.

    python3 .ci/setup/make_it_yours.py shop                    # rename
    python3 .ci/setup/make_it_yours.py shop --without-example  # rename, and remove users and orders

It changes the files of this checkout, or of `--directory`; docs/make-it-yours.md says what stays to do.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

OLD = "tandem"

NOT_OURS = {
    *(".git", ".venv", ".data", "node_modules", "dist"),
    *("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache"),
    "migrations",
}
"""Folders that keep the old name: an applied migration never changes."""

KEPT = {"LICENSE", "make_it_yours.py", "make-it-yours.md"}
"""Files that keep the old name."""

EXAMPLE = (
    "domain/users",
    "api/schema/users",
    "api/cli/seed.py",
    "api/cli/seed_data.py",
    "readside/projections/orders.py",
    "readside/projections/user_list.py",
    "readside/projections/users.py",
    "readside/projections/users_by_email.py",
    "readside/projections/users_by_lifetime_value.py",
    "readside/projections/users_by_name.py",
)
"""What the example consists of, apart from its tests."""

EDITS: tuple[tuple[str, str, str], ...] = (
    ("domain/aggregates.py", r"from domain\.users\.\S+ import USER\n", ""),
    ("domain/aggregates.py", r"USER, ", ""),
    ("readside/read_models.py", r"^    (orders|user_list|users\w*),\n", ""),
    ("readside/read_models.py", r'    "user": [^\n]*\n', ""),
    ("api/schema/packages.py", r", users\b|\busers, ", ""),
    ("api/cli/__init__.py", r"from api\.cli\.seed import seed\n", ""),
    ("api/cli/__init__.py", r"app\.command\(\)\(seed\)\n", ""),
    ("api/cli/migrate.py", r" *from domain\.users\.\S+ import \w+\n", ""),
    ("api/cli/migrate.py", r"names, shared = await", "names = await"),
    ("api/cli/migrate.py", r"\(names, shared, ", "(names, "),
    ("api/cli/migrate.py", r", shared: list\[SharedAddress\]", ""),
    ("api/cli/migrate.py", r"    if shared:\n[^\n]*\n", ""),
    ("api/cli/migrate.py", r"    import msgspec\n\n", ""),
    ("api/cli/migrate.py", r"\[\*lines, \*map\(_sentence, shared\)\]", "lines"),
    ("api/cli/migrate.py", r"\n\ndef _sentence(?s:.*)", ""),
    ("api/runtime/migrations.py", r"from domain\.users\.\S+ import [^\n]*\n", ""),
    ("api/runtime/migrations.py", r"tuple\[list\[str\], list\[SharedAddress\]\]", "list[str]"),
    ("api/runtime/migrations.py", r"returns their names, and [^.]*\.", "returns their names."),
    (
        "api/runtime/migrations.py",
        r"names = (await migrate.*)\n.*migrate_email_keys.*",
        r"return \1",
    ),
    ("api/runtime/startup.py", r"applied, shared_addresses =", "applied ="),
    ("api/runtime/startup.py", r"    for shared_address in .*\n.*\n", ""),
    ("api/runtime/startup.py", r"import msgspec\n", ""),
    ("api/runtime/startup.py", r"Final, TypeVar", "TypeVar"),
    ("api/runtime/startup.py", r"_MUTATION: Final = \((?s:.*?)\n_QUERY.*\n", ""),
    ("api/runtime/startup.py", r"  Create a user: .*\n  Query the user: .*\n\n", ""),
    ("pyproject.toml", r'    "domain\.users\.commands .*\n', ""),
    ("pyproject.toml", r'    "domain\.users\.state .*\n', ""),
    ("pyproject.toml", r'    "domain\.users\.aggregate",\n', ""),
    ("pyproject.toml", r'    "domain\.users\.events",\n', ""),
    ("pyproject.toml", r'"api\.schema\.users", "domain\.users", ', ""),
    ("pyproject.toml", r'ignore_imports = \["api\.runtime\.migrations .*\n', ""),
    ("tests/domain/written_events.py", r"from \S+users\S+ import .*\n", ""),
    ("tests/domain/written_events.py", r" *USER\.name: list\(WRITTEN\),\n", ""),
)
"""File, regular expression, and what replaces it, in the lists that name the example."""

MIGRATION = """-- The tables of the example, which no event is about.

drop table orders;
drop table users;
"""

ABOUT_USERS = re.compile(
    r"(create|rename|erase)User|(place|complete|cancel)Order|userChanged|\busers?\b ?[({]|topCustomers"
    r"|userByEmail|User(Created|Erased|Renamed)|OrderPlaced|[\"']user[\"']|\busers\b.*(select|where)"
)
"""Marks a test that uses the example in a text, such as a GraphQL operation."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="the new name: lower-case letters and digits")
    parser.add_argument("--without-example", action="store_true", help="remove users and orders")
    parser.add_argument("--directory", type=Path, default=Path(__file__).parents[2])
    arguments = parser.parse_args()
    if not re.fullmatch(r"[a-z][a-z0-9]*", arguments.name):
        sys.exit(
            "The name is part of names in Redis, Python and Prometheus: lower-case letters and digits."
        )
    if arguments.without_example:
        remove_example(arguments.directory)
    (arguments.directory / "tests/docs/test_make_it_yours.py").unlink(
        missing_ok=True
    )  # of this script
    print(f"{rename(arguments.directory, arguments.name)} files renamed or changed.")
    print("docs/make-it-yours.md says what stays to do.")


def rename(root: Path, name: str) -> int:
    """Replaces the name in all texts and in the names of files; returns the number of changed files."""
    cases = {OLD: name, OLD.title(): name.title(), OLD.upper(): name.upper()}
    changed = 0
    for path in list(files(root)):
        if path.name in KEPT:
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        new = re.sub(OLD, lambda found: cases.get(found[0], name), text, flags=re.IGNORECASE)
        target = path.with_name(path.name.replace(OLD, name))
        if new != text or target != path:
            changed += 1
            path.rename(target)
            target.write_text(new, "utf-8")
    return changed


def remove_example(root: Path) -> None:
    """Removes the aggregate of users, and the tests that use it. Another aggregate must be in the lists."""
    if (
        len(
            re.findall(
                r"from domain\.\w+\.aggregate import", (root / "domain/aggregates.py").read_text()
            )
        )
        < 2
    ):
        sys.exit(
            "Add an aggregate of your own to domain/aggregates.py first; docs/tutorial.md shows how."
        )
    for name, pattern, replacement in EDITS:
        edit(root / name, pattern, replacement)
    for path in tests_of_the_example(root):
        path.unlink()
    for name in EXAMPLE:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    number = 1 + len(list((root / "domain/migrations").glob("*.sql")))
    (root / f"domain/migrations/{number:04}_without_the_example.sql").write_text(MIGRATION)


def edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text("utf-8"), flags=re.MULTILINE)
    if not count:
        sys.exit(f"{path} has no {pattern!r}: this script does not know this version of it.")
    path.write_text(text, "utf-8")


def tests_of_the_example(root: Path) -> set[Path]:
    """Returns the files of tests that import the example, directly or not, or have it in a text."""
    removed = tuple(name.removesuffix(".py").replace("/", ".") for name in EXAMPLE)
    paths = {path for path in (root / "tests").rglob("*.py") if path.name != "__init__.py"}
    modules = {path: ".".join(path.relative_to(root).with_suffix("").parts) for path in paths}
    imports = {path: set(imported(path)) for path in paths}
    found = {
        path
        for path in paths
        if any(name.startswith(removed) for name in imports[path])
        or ABOUT_USERS.search(path.read_text())
    }
    while True:
        names = {modules[path] for path in found}
        fixtures = {
            name: path.parent
            for path in found
            if path.name == "conftest.py"
            for name in fixtures_of(path)
        }
        more = {
            path
            for path in paths - found
            if any(name in names or name.rpartition(".")[0] in names for name in imports[path])
            or any(fixtures[name] in path.parents for name in fixtures.keys() & parameters(path))
        }
        if not more:
            return found
        found |= more


def fixtures_of(path: Path) -> set[str]:
    """Returns the names of the fixtures of a conftest.py."""
    body = ast.parse(path.read_text()).body
    return {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def parameters(path: Path) -> set[str]:
    """Returns the names of all parameters in a file: a test names the fixtures that it uses there."""
    return {node.arg for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.arg)}


def imported(path: Path) -> Iterator[str]:
    """Yields the modules that a file imports when it is imported, and the names that it imports from them."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        yield from (Path(folder, name) for name in names)


if __name__ == "__main__":
    main()
