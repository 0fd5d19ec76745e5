"""Query templates: documents that differ only in literals share one parsed, validated and compiled document.

Clients that write an id into the text send a new text each time, and each would be parsed, validated and
compiled. A literal makes a document invalid only if it does not fit its type, which is checked here, or if
fields with the same response name differ, so a document with a repeated response name has no template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    IntValueNode,
    ObjectFieldNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    Undefined,
    ValueNode,
    coerce_input_literal,
    get_named_type,
    get_nullable_type,
)

Literals = Sequence[Any]
"""The literals in the order of the text: strings without their quotes, and integers."""

LiteralIndex = Mapping[int, int]
"""Offset at which each literal begins in the text of a template -> its index in Literals."""

Values = Mapping[Any, Any]
"""The coerced variables by name, and the literals of the document by index."""

SplitText = tuple[str, Literals]
"""The key of a template, and the literals."""

_LITERAL: Final = re.compile(
    r'("(?!"")[^"\\\x00-\x1f\ud800-\udfff]*"|(?<![\w.$-])(?:0|-?[1-9][0-9]{0,9})(?![\w.]))',
    re.ASCII,
)
_AMBIGUOUS: Final = ("#", "\\", '"""', "\0")
"""Marks that may hide a quotation mark, or pass for an integer in the key: a text with one is not split."""

_INTROSPECTION: Final = ("__schema", "__type")


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryTemplate:
    """A document without its literals."""

    key: str
    """The text without its literals."""
    types: Sequence[GraphQLScalarType]
    """The type of each literal."""
    literal_index: LiteralIndex

    @property
    def integers(self) -> Iterator[int]:
        """The indexes of the literals that may be the length of a list."""
        return (index for index, type_ in enumerate(self.types) if type_ is GraphQLInt)

    def coerce(self, literals: Literals) -> Literals | None:
        """Returns the literals as values of their types; None if one does not fit."""
        values = [_coerce(type_, value) for type_, value in zip(self.types, literals, strict=True)]
        return None if Undefined in values else values


def split_literals(text: str) -> SplitText | None:
    """Returns the template's key and the literals; None if there are none, or if the text is ambiguous."""
    if any(mark in text for mark in _AMBIGUOUS):
        return None
    parts = _LITERAL.split(text)
    literals: list[Any] = []
    for at in range(1, len(parts), 2):
        is_string = parts[at].startswith('"')
        literals.append(parts[at][1:-1] if is_string else int(parts[at]))
        parts[at] = '"' if is_string else "\0"
    key = "".join(parts)
    if not literals or key.count('"') != sum(isinstance(value, str) for value in literals):
        return None
    return key, literals


def template_of(
    schema: GraphQLSchema, document: DocumentNode, text: str, split: SplitText | None
) -> tuple[QueryTemplate, Literals] | None:
    """Returns the template of a valid document, and its coerced literals; None if it has no template.

    `split` is the result of split_literals(text).
    """
    if split is None or len(document.definitions) != 1:
        return None
    [operation] = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    types: dict[int, GraphQLScalarType] = {}
    root = schema.get_root_type(operation.operation)
    try:
        _collect_types(schema, operation.selection_set, root, types)
    except _NoTemplate:
        return None
    offsets = [match.start() for match in _LITERAL.finditer(text)]
    if sorted(types) != offsets:
        return None  # some literals stand where no other value may stand
    template = QueryTemplate(
        key=split[0],
        types=[types[offset] for offset in offsets],
        literal_index={offset: index for index, offset in enumerate(offsets)},
    )
    literals = template.coerce(split[1])
    return None if literals is None else (template, literals)


class _NoTemplate(Exception):
    """The document would not stay valid with other literals, or that is not certain."""


def _collect_types(
    schema: GraphQLSchema, selected: SelectionSetNode, type_: Any, types: dict[int, Any]
) -> None:
    """Adds the type of each literal in the arguments of these fields, by its offset."""
    response_names: set[str] = set()
    for node in selected.selections:
        if not isinstance(node, FieldNode) or node.name.value in _INTROSPECTION:
            raise _NoTemplate
        name = (node.alias or node.name).value
        if name in response_names:
            raise _NoTemplate
        response_names.add(name)
        field = getattr(type_, "fields", {}).get(node.name.value)
        if field is not None:
            _collect_argument_types(field.args, node.arguments or (), types)
        if field is not None and node.selection_set is not None:
            _collect_types(schema, node.selection_set, get_named_type(field.type), types)


def _collect_argument_types(
    inputs: Mapping[str, Any],
    arguments: Sequence[ArgumentNode] | Sequence[ObjectFieldNode],
    types: dict[int, Any],
) -> None:
    for argument in arguments:
        type_: Any = get_nullable_type(inputs[argument.name.value].type)
        node = argument.value
        if isinstance(node, ObjectValueNode) and isinstance(type_, GraphQLInputObjectType):
            _collect_argument_types(type_.fields, node.fields, types)
        elif node.loc is not None and _may_vary(type_, node):
            types[node.loc.start] = type_


def _may_vary(type_: Any, node: ValueNode) -> bool:
    if isinstance(node, IntValueNode):
        return type_ is GraphQLInt or type_ is GraphQLID
    return isinstance(type_, GraphQLScalarType) and isinstance(node, StringValueNode)


def _coerce(type_: GraphQLScalarType, literal: Any) -> Any:
    if type_ is GraphQLString:
        return literal
    if type_ is GraphQLID:
        return str(literal)
    if type_ is GraphQLInt:
        return literal if GRAPHQL_MIN_INT <= literal <= GRAPHQL_MAX_INT else Undefined
    return coerce_input_literal(StringValueNode(value=literal, block=False), type_)
