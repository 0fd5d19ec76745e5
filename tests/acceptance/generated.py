"""Operations that Schemathesis generates from the schema: valid ones, and ones with a mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import schemathesis
from graphql import (
    ArgumentNode,
    GraphQLSchema,
    NameNode,
    Node,
    ObjectFieldNode,
    OperationDefinitionNode,
    StringValueNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableNode,
    Visitor,
    build_schema,
    parse,
    print_ast,
    value_from_ast_untyped,
    visit,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis_graphql import Mode, queries
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.graphql import nodes

T = TypeVar("T")

PRINTED = Path(__file__).parents[2] / "schema.graphql"
SCHEMA = build_schema(PRINTED.read_text())

TEXTS = st.text() | st.sampled_from(
    ["Alice", "a\0b", "\ufeff", "\u202ea", "' --", "é" * 100, "x" * 9999]
)
ADDRESSES = st.emails() | TEXTS
AMOUNTS = st.decimals("-1", "9999999999", places=2).map(str) | TEXTS
NUMBERS = st.integers(-1, 3) | st.integers(-(2**31), 2**31 - 1)
SCALARS = {
    "EmailAddress": ADDRESSES.map(nodes.String),
    "ID": TEXTS.map(nodes.String),
    "Int": NUMBERS.map(nodes.Int),
    "Money": AMOUNTS.map(nodes.String),
    "String": TEXTS.map(nodes.String),
}
"""What a scalar may be: often enough something that is taken, or that stores stumble over."""

Ids = Mapping[str, str]
"""Ids of existing objects, by the name of the argument that takes them."""

Made: TypeAlias = "Case[Any]"
"""Its body is the text of the operation."""


def for_each(made: st.SearchStrategy[T], do: Callable[[T], object], *, times: int) -> None:
    """The same examples in every run, so that a failure is caused by the code and not by chance."""

    @settings(max_examples=times, derandomize=True, database=None, deadline=None)
    @given(made)
    def one(example: T) -> None:
        do(example)

    one()


def fields(mode: GenerationMode) -> dict[str, st.SearchStrategy[Made]]:
    """The cases for each field of Query and Mutation; in the negative mode each has a mistake."""
    for name, strategy in SCALARS.items():
        schemathesis.graphql.scalar(name, strategy)
    found = schemathesis.graphql.from_path(PRINTED).get_all_operations()
    operations = [each.ok() for each in found if isinstance(each, Ok)]
    return {operation.label: operation.as_strategy(mode) for operation in operations}


def subscriptions() -> st.SearchStrategy[str]:
    """Operations that Schemathesis omits: its generator knows only queries, so these are declared as such."""
    as_queries = GraphQLSchema(query=SCHEMA.subscription_type)
    made = (queries(as_queries, custom_scalars=SCALARS, mode=mode) for mode in Mode)
    return st.one_of(*made).map("subscription {}".format)


def about(ids: Ids, text: str) -> str:
    """Returns the operation with ids of existing objects, because generated ids exist nowhere."""
    return print_ast(visit(parse(text), _Known(ids)))


def hoisted(text: str) -> tuple[str, dict[str, Any]]:
    """The same operation with its arguments as variables."""
    [operation] = parse(text).definitions
    assert isinstance(operation, OperationDefinitionNode)
    found = _Hoisting()
    selected = visit(operation, TypeInfoVisitor(found.types, found)).selection_set
    declared = f"({', '.join(found.declared)})" if found.declared else ""
    return f"{operation.operation.value} Made{declared} {print_ast(selected)}", found.values


class _Known(Visitor):
    def __init__(self, ids: Ids) -> None:
        super().__init__()
        self._ids = ids

    def enter(self, node: Node, *_: object) -> Node | None:
        """Texts alone: where another value stands, that may be the mistake."""
        if (
            isinstance(node, ArgumentNode | ObjectFieldNode)
            and node.name.value in self._ids
            and isinstance(node.value, StringValueNode)
        ):
            known = StringValueNode(value=self._ids[node.name.value])
            return type(node)(name=node.name, value=known)
        return None


class _Hoisting(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.types = TypeInfo(SCHEMA)
        self.declared: list[str] = []
        self.values: dict[str, Any] = {}

    def leave_argument(self, node: ArgumentNode, *_: object) -> Node:
        name = f"v{len(self.values)}"
        self.declared.append(f"${name}: {self.types.get_input_type()}")
        self.values[name] = value_from_ast_untyped(node.value)
        return ArgumentNode(name=node.name, value=VariableNode(name=NameNode(value=name)))
