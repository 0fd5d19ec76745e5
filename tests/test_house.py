"""The rules of the house that a tool checks: types, style, and who may import whom."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api.limits import Limits
from api.settings import Settings
from tests.checked_tree import checked_tree
from tests.processes import ROOT

CODE = ("api", "domain", "readside")
BUILDERS = {"create_pool", "connect", "from_url", "from_pool", "Redis", "BlockingConnectionPool"}
"""What builds a driver."""

NAMING = {
    *("Functions", "Pipeline", "Projector", "PubSub", "RateLimiter", "ReadModel", "RedisStream"),
    *("PartitionAssignment", "PartitionMaintenance", "RedisWakeUp", "Verify", "partition_statuses"),
}
"""What takes a namespace."""

MAY_BUILD = {
    "api/runtime/drivers.py",
    "api/runtime/startup.py",
    "api/embedded/postgres.py",
    "api/embedded/valkey.py",
    "api/runtime/migrations.py",
}


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("lint-imports", "--no-cache"),
    ],
    ids=" ".join,
)
def test_the_tool_finds_nothing(command: tuple[str, ...]) -> None:
    program = Path(sys.executable).parent / command[0]
    found = subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.timeout(900)  # without its cache, beside other tests and other load
def test_mypy_finds_nothing() -> None:
    with checked_tree() as found:
        assert found.returncode == 0, found.stdout + found.stderr


def test_only_the_composition_root_builds_drivers() -> None:
    builders = {
        str(path.relative_to(ROOT))
        for package in CODE
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _name(node.func) in BUILDERS
    }
    assert builders <= MAY_BUILD


def test_all_that_names_something_in_redis_gets_the_names_of_its_service() -> None:
    """The defaults are for tests: what forgets the argument would use the names of another service."""
    for path in (path for package in CODE for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name(node.func) in NAMING:
                assert "namespace" in ast.unparse(node), f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and _name(node.func) == "Partition":
                assert path.name == "keys.py", f"{path}:{node.lineno}"


def test_importing_everything_connects_to_nothing_and_reads_no_setting() -> None:
    program = """
import pkgutil, importlib, socket, sys
import api, domain, readside
def refuse(*_): raise AssertionError("an import opened a connection")
socket.socket.connect = refuse
for package in (api, domain, readside):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name not in {"api.graphiql.build_hook"}:
            importlib.import_module(module.name)
"""
    environment = {"PORT": "not a port", "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


OF_AN_AGGREGATE = re.compile(
    r"user|e-?mail|\border(s|_)|an order\b|(?-i:Order[A-Z])", re.IGNORECASE
)
"""Words of the users that come with the service. The order of a list is not meant."""


@pytest.mark.parametrize(
    ("folder", "apart_from", "allowed"),
    [
        (
            "domain",
            ("users", "migrations", "aggregates.py"),
            # Names of the column and in JSON; the aggregate of the oldest events.
            ('STORED_ID: Final = "user_id"', 'aggregate: str = "user"', 'name="users"'),
        ),
        (
            "readside",
            ("projections", "read_models.py"),
            # Names in JSON that clients know, and users of Redis.
            ('name="user"', 'name="users"', "username", "Redis user", "user of Redis"),
        ),
        (
            "api",
            # The schema of users, their demo data and keys, and users of an operating system or a URL.
            (
                *("schema/users", "schema/packages.py", "cli/seed.py", "cli/seed_data.py"),
                *("cli/migrate.py", "runtime/migrations.py", "runtime/startup.py", "graphiql"),
                *("embedded", "server_urls.py", "auth/web_origin.py", "resolvers/scalars.py"),
                "engine/compiler/codegen.py",
            ),
            (
                # Names in JSON, options and metrics that clients know.
                *('"user"', "'user'", '"users"', '"--user"', "parked_users", "lost_users"),
                # Examples.
                *("such as users", "such as a user", "such as input, email"),
                *("rename_user", "renameUser", "RenameUser"),
                # Users of PostgreSQL, of Redis and of a connection; words of GraphQL and Python.
                *("this user", "This user", "setuser", "username", "every user may", "No user of"),
                *("BAD_USER_INPUT", "email.utils"),
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_machinery_names_no_aggregate(
    folder: str, apart_from: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    for path in sorted((ROOT / folder).rglob("*.*")):
        name = path.relative_to(ROOT / folder)
        if path.suffix not in {".py", ".lua", ".sql"} or any(map(name.is_relative_to, apart_from)):
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            for phrase in allowed:
                line = line.replace(phrase, "")
            found = OF_AN_AGGREGATE.search(line)
            assert found is None, f"{folder}/{name}:{number} names an aggregate: {line.strip()}"


def test_there_are_at_most_52_settings() -> None:
    """46 of the service, and one for each of six ways of clients and gateways that are off by default."""
    assert len(Settings.model_fields) - 1 + len(Limits.model_fields) <= 52


def described(module: str) -> dict[str, str]:
    """Returns the docstring of each field of the classes of a module."""
    classes = [
        node
        for node in ast.parse((ROOT / module).read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    return {
        ast.unparse(node.target): " ".join(ast.literal_eval(text.value).split())
        for class_ in classes
        for node, text in zip(class_.body, class_.body[1:], strict=False)
        if isinstance(node, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def test_the_page_about_the_configuration_lists_every_setting_with_its_default() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    descriptions = described("api/auth/auth_settings.py") | described("api/settings.py")
    for name, field in Settings.model_fields.items():
        default = "none" if field.default is None else f"`{field.default}`"
        if name != "limits":
            text = field.description or descriptions[name]
            assert f"| `{name.upper()}` | {default} | {text} |" in page
    descriptions = described("api/limits.py")
    for name, field in Limits.model_fields.items():
        text = field.description or descriptions[name]
        assert f"| `LIMIT_{name.upper()}` | {field.default} | {text} |" in page


def test_the_page_about_the_configuration_lists_every_limit_that_is_not_a_setting() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    descriptions = described("api/limits.py")
    for name in Limits.__class_vars__:
        assert f"| {getattr(Limits, name)} | {descriptions[name]} |" in page


@pytest.mark.parametrize(
    ("folder", "listed_in"),
    [
        ("readside/projections", "readside/read_models.py"),
        ("api/schema/users/mutations", "api/schema/users/mutations/__init__.py"),
    ],
)
def test_whatever_has_a_file_is_listed(folder: str, listed_in: str) -> None:
    listed = {
        name.name
        for node in ast.walk(ast.parse((ROOT / listed_in).read_text()))
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    for path in (ROOT / folder).glob("*.py"):
        if path.stem != "__init__":
            assert path.stem in listed, f"{folder}/{path.name} is not named in {listed_in}"
