"""What an aggregate consists of is complete: whatever has a folder, a file or a class is in its list."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from importlib import import_module
from pkgutil import walk_packages

from graphql import GraphQLUnionType

import domain
from api.auth.scopes import ALL_SCOPES, SCOPE
from api.schema.merged import SCHEMA
from api.schema.packages import PACKAGES
from domain.aggregates import AGGREGATES
from domain.command import Command, refuse_unless_current
from domain.refusal import Refusal, VersionConflict
from readside.read_models import READ_MODELS
from tests.processes import ROOT

FOLDERS = {path.parent.name for path in (ROOT / "domain").glob("*/aggregate.py")}
"""The names of the folders of aggregates."""


def test_every_aggregate_is_in_the_list_of_aggregates() -> None:
    listed = {aggregate.state.__module__.split(".")[1] for aggregate in AGGREGATES.values()}
    for folder in FOLDERS - listed:
        raise AssertionError(f"Add the aggregate of domain/{folder} to domain/aggregates.py.")


def test_every_file_of_projections_is_in_the_list_of_read_models() -> None:
    listed = {
        model.__name__.rpartition(".")[2] for models in READ_MODELS.values() for model in models
    }
    files = {path.stem for path in (ROOT / "readside/projections").glob("[!_]*.py")}
    for file in files - listed:
        raise AssertionError(f"Add readside/projections/{file}.py to readside/read_models.py.")
    for name in READ_MODELS.keys() ^ AGGREGATES.keys():
        raise AssertionError(
            f"Only one of domain/aggregates.py and readside/read_models.py has the aggregate {name}."
        )


def test_every_folder_of_graphql_is_in_the_list_of_packages() -> None:
    listed = {package.__name__.rpartition(".")[2] for package in PACKAGES}
    for folder in {
        path.parent.name for path in (ROOT / "api/schema").glob("*/__init__.py")
    } - listed:
        raise AssertionError(f"Add api/schema/{folder} to api/schema/packages.py.")
    for folder in FOLDERS - listed:
        raise AssertionError(f"domain/{folder} has no folder of the same name in api/schema.")


def test_every_command_has_a_mutation() -> None:
    assert SCHEMA.mutation_type is not None
    for command in commands():
        mutation = command.__name__[0].lower() + command.__name__[1:]
        assert mutation in SCHEMA.mutation_type.fields, (
            f"There is no mutation {mutation} for {command.__module__}.{command.__name__}."
        )


def test_every_refusal_of_a_command_is_listed_by_its_mutation() -> None:
    for command in commands():
        union = SCHEMA.type_map[f"{command.__name__}Error"]
        assert isinstance(union, GraphQLUnionType)
        for refusal in _refusals(command) - {type_.name for type_ in union.types}:
            raise AssertionError(f"The mutation of {command.__name__} does not list {refusal}.")


def _refusals(command: type[Command]) -> set[str]:
    """Returns the names of the refusals in the code of a command and of its base classes."""
    found: set[str] = set()
    for class_ in command.__mro__[: command.__mro__.index(Command)]:
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(class_)))):
            value = getattr(sys.modules[class_.__module__], getattr(node, "id", ""), None)
            if value is refuse_unless_current:
                found.add(VersionConflict.__name__)
            elif isinstance(value, type) and issubclass(value, Refusal):
                found.add(value.__name__)
    return found


def commands() -> list[type[Command]]:
    """Returns the classes of all commands of the domain; tests have commands of their own."""
    for module in walk_packages(domain.__path__, "domain."):
        import_module(module.name)
    return _derived(Command)


def _derived(base: type[Command]) -> list[type[Command]]:
    """Returns the classes without subclasses."""
    derived = [each for each in base.__subclasses__() if each.__module__.startswith("domain.")]
    return [command for each in derived for command in _derived(each)] or [base]


def test_every_field_at_the_top_has_a_scope() -> None:
    for type_ in (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type):
        assert type_ is not None
        for name, field in type_.fields.items():
            scope = field.extensions["strawberry-definition"].metadata.get(SCOPE)
            checked = type_ is SCHEMA.query_type and name in {
                "node",
                "nodes",
            }  # as test_nodes.py shows
            assert checked or scope in ALL_SCOPES, f"{type_.name}.{name} has no scope."
