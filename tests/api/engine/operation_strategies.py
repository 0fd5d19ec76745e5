"""Hypothesis strategies: operations of hypothesis-graphql, varied in the ways that clients write them.

It draws fields and literals. Fragments, @skip and @include, variables, fields that are asked for twice and
further operations are added here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from graphql import (
    ArgumentNode,
    BooleanValueNode,
    DirectiveNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    NameNode,
    Node,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableNode,
    Visitor,
    get_named_type,
    is_non_null_type,
    parse,
    print_ast,
    value_from_ast_untyped,
    visit,
)
from hypothesis import strategies as st
from hypothesis_graphql import mutations, nodes, queries

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[Any]], Any]

TEXTS = st.text("ab1", max_size=3)
SCALARS = {
    "DateTime": st.just("2026-01-02T03:04:05Z").map(nodes.String),
    "EmailAddress": TEXTS.map(nodes.String),
    "Money": TEXTS.map(nodes.String),
    "Shy": TEXTS.map(nodes.String),
}
Scalars = Mapping[str, st.SearchStrategy[Any]]

WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, 1, True, 3.0, 3.5, 2**31, -(2**31), 2**80, "x", "RED", [], [None], [[1]], {}]
) | st.builds(lambda value: {"name": "x", "size": value}, st.sampled_from([3.0, None, "1", True]))
"""Values of variables that are usually invalid, and sometimes valid."""


@dataclass(frozen=True)
class Asked:
    """A request."""

    text: str
    name: str | None
    variables: dict[str, Any]


def queries_of(schema: GraphQLSchema, scalars: Scalars = SCALARS) -> st.SearchStrategy[Asked]:
    return _dressed(schema, queries(schema, custom_scalars=scalars, codec="ascii"))


def mutations_of(schema: GraphQLSchema, scalars: Scalars = SCALARS) -> st.SearchStrategy[Asked]:
    return _dressed(schema, mutations(schema, custom_scalars=scalars, codec="ascii"))


def _dressed(schema: GraphQLSchema, made: st.SearchStrategy[Any]) -> st.SearchStrategy[Asked]:
    @st.composite
    def one(draw: Draw) -> Asked:
        [operation] = parse(draw(made)).definitions
        assert isinstance(operation, OperationDefinitionNode)
        dressing = _Dressing(schema, draw)
        chosen = visit(operation, TypeInfoVisitor(dressing.types, dressing)).selection_set
        name = draw(st.sampled_from([None, "A"]))
        declared = f"({', '.join(dressing.declared)})" if dressing.declared else ""
        texts = [f"{operation.operation.value} A{declared} {print_ast(chosen)}"]
        if name and draw(st.booleans()):
            texts.append("query B { __typename }")
        texts += dressing.fragments
        return Asked("\n".join(texts), name, dressing.variables)

    return one()


class _Dressing(Visitor):
    def __init__(self, schema: GraphQLSchema, draw: Draw) -> None:
        super().__init__()
        self.types = TypeInfo(schema)
        self.declared: list[str] = []
        self.variables: dict[str, Any] = {}
        self.fragments: list[str] = []
        self._draw = draw
        self._number = 0

    def leave_argument(self, node: ArgumentNode, *_: object) -> Node | None:
        """Replaces a literal by a variable, whose value is sometimes another, or missing."""
        if not self._sometimes(2):
            return None
        type_: Any = self.types.get_input_type()
        literal = print_ast(node.value)
        name = self._variable(str(type_), literal, optional=not is_non_null_type(type_))
        match self._draw(st.integers(0, 11)):
            case 11:
                pass
            case 10:
                self.variables[name] = self._draw(WRONG)
            case _:
                self.variables[name] = value_from_ast_untyped(node.value)
        return ArgumentNode(name=node.name, value=VariableNode(name=NameNode(value=name)))

    def _variable(self, type_: str, literal: str, *, optional: bool) -> str:
        name = f"v{len(self.declared)}"
        default = (
            f" = {literal}" if (not optional or literal != "null") and self._sometimes(3) else ""
        )
        self.declared.append(f"${name}: {type_}{default}")
        return name

    def leave_selection_set(self, node: SelectionSetNode, *_: object) -> Node:
        parent = get_named_type(self.types.get_parent_type())
        assert parent is not None
        chosen = [each for one in node.selections for each in self._worn(one, parent.name)]
        if self._sometimes(4):
            at = self._draw(st.integers(0, len(chosen)))
            chosen.insert(at, FieldNode(name=NameNode(value="__typename")))
        return SelectionSetNode(selections=tuple(chosen))

    def _worn(self, one: SelectionNode, parent: str) -> Iterator[SelectionNode]:
        match self._draw(st.integers(0, 19)):
            case 19 | 18:
                yield InlineFragmentNode(
                    type_condition=_named(parent) if self._sometimes(2) else None,
                    directives=tuple(self._switches()),
                    selection_set=SelectionSetNode(selections=(one,)),
                )
            case 17:
                yield self._spread(one, parent)
            case 16:
                yield from (one, self._spread(one, parent))
            case 15:
                yield from (one, one)
            case 14 if isinstance(one, FieldNode):
                yield (
                    FieldNode(
                        alias=NameNode(
                            value=self._draw(st.sampled_from(["into", "it", "__proto__"]))
                        ),
                        name=one.name,
                        arguments=one.arguments,
                        selection_set=one.selection_set,
                        directives=tuple(self._switches()),
                    )
                    if not one.alias
                    else one
                )
            case 13 if isinstance(one, FieldNode):
                yield FieldNode(
                    alias=one.alias,
                    name=one.name,
                    arguments=one.arguments,
                    selection_set=one.selection_set,
                    directives=tuple(self._switches()),
                )
            case _:
                yield one

    def _spread(self, one: SelectionNode, parent: str) -> SelectionNode:
        name = f"F{len(self.fragments)}"
        self.fragments.append(f"fragment {name} on {parent} {{ {print_ast(one)} }}")
        return FragmentSpreadNode(name=NameNode(value=name), directives=tuple(self._switches()))

    def _switches(self) -> Iterator[DirectiveNode]:
        if not self._sometimes(2):
            return
        value = self._draw(st.booleans())
        given: Any = BooleanValueNode(value=value)
        if self._sometimes(2):
            name = self._variable("Boolean!", str(value).lower(), optional=False)
            self.variables[name] = self._draw(st.booleans())
            given = VariableNode(name=NameNode(value=name))
        argument = ArgumentNode(name=NameNode(value="if"), value=given)
        directive = self._draw(st.sampled_from(["skip", "include"]))
        yield DirectiveNode(name=NameNode(value=directive), arguments=(argument,))

    def _sometimes(self, one_in: int) -> bool:
        return bool(self._draw(st.integers(0, one_in - 1)) == one_in - 1)


def _named(name: str) -> NamedTypeNode:
    return NamedTypeNode(name=NameNode(value=name))
