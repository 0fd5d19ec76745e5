"""Texts that differ only in literals: they have one shape, and share all that was found out about it.

Clients that write the id into the text send a new text each time, and each would be parsed, validated and
compiled anew. What a literal can change is whether it fits its type, which is checked here, and whether two
fields of one name agree, so a document in which a name is answered twice has no shape.
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
"""In the order of the text: strings without their quotes, and whole numbers."""

Values = Mapping[Any, Any]
"""The coerced variables by name, and the literals of the document by their place in it."""

SplitText = tuple[str, Literals]
"""The key of a shape, and what stands in its places."""

_LITERAL: Final = re.compile(
    r'("(?!"")[^"\\\x00-\x1f\ud800-\udfff]*"|(?<![\w.$-])(?:0|-?[1-9][0-9]{0,9})(?![\w.]))',
    re.ASCII,
)
_UNCLEAR: Final = ("#", "\\", '"""', "\0")
"""What may hide a quotation mark, or pass for a number in the key: such a text is taken as it is."""

_SCHEMA: Final = ("__schema", "__type")


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryTemplate:
    """Of a document whose literals may be others."""

    key: str
    """The text without its literals."""
    types: Sequence[GraphQLScalarType]
    """That of each literal."""
    places: Mapping[int, int]
    """Where each literal begins in the text it was read from -> which it is."""

    @property
    def numbers(self) -> Iterator[int]:
        """The literals that may say how long a list is."""
        return (place for place, type_ in enumerate(self.types) if type_ is GraphQLInt)

    def fitted(self, literals: Literals) -> Literals | None:
        """The literals as values of their types; None if one does not fit."""
        fitted = [_fitted(type_, each) for type_, each in zip(self.types, literals, strict=True)]
        return None if Undefined in fitted else fitted


def split_literals(text: str) -> SplitText | None:
    """The key of the shape, and the literals; None if there are none, or it is not clear which they are."""
    if any(mark in text for mark in _UNCLEAR):
        return None
    parts = _LITERAL.split(text)
    literals: list[Any] = []
    for at in range(1, len(parts), 2):
        is_text = parts[at].startswith('"')
        literals.append(parts[at][1:-1] if is_text else int(parts[at]))
        parts[at] = '"' if is_text else "\0"
    key = "".join(parts)
    if not literals or key.count('"') != sum(isinstance(each, str) for each in literals):
        return None
    return key, literals


def template_of(
    schema: GraphQLSchema, document: DocumentNode, text: str, apart: SplitText | None
) -> tuple[QueryTemplate, Literals] | None:
    """The shape of a valid document, and its literals; None if those may not simply be others.

    `apart` is the text taken apart.
    """
    if apart is None or len(document.definitions) != 1:
        return None
    [operation] = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    types: dict[int, GraphQLScalarType] = {}
    try:
        _look(schema, operation.selection_set, schema.get_root_type(operation.operation), types)
    except _NoTemplate:
        return None
    starts = [found.start() for found in _LITERAL.finditer(text)]
    if sorted(types) != starts:
        return None  # some stand where they may not be others
    places = {start: place for place, start in enumerate(starts)}
    shape = QueryTemplate(key=apart[0], types=[types[start] for start in starts], places=places)
    fitted = shape.fitted(apart[1])
    return None if fitted is None else (shape, fitted)


class _NoTemplate(Exception):
    """The literals may not simply be others."""


def _look(
    schema: GraphQLSchema, selected: SelectionSetNode, type_: Any, types: dict[int, Any]
) -> None:
    """Finds the type of each literal in the arguments of these fields, by where it begins."""
    answered: set[str] = set()
    for node in selected.selections:
        if not isinstance(node, FieldNode) or node.name.value in _SCHEMA:
            raise _NoTemplate
        key = (node.alias or node.name).value
        if key in answered:
            raise _NoTemplate
        answered.add(key)
        field = getattr(type_, "fields", {}).get(node.name.value)
        if field is not None:
            _look_at_values(field.args, node.arguments or (), types)
        if field is not None and node.selection_set is not None:
            _look(schema, node.selection_set, get_named_type(field.type), types)


def _look_at_values(
    inputs: Mapping[str, Any],
    given: Sequence[ArgumentNode] | Sequence[ObjectFieldNode],
    types: dict[int, Any],
) -> None:
    for each in given:
        type_: Any = get_nullable_type(inputs[each.name.value].type)
        node = each.value
        if isinstance(node, ObjectValueNode) and isinstance(type_, GraphQLInputObjectType):
            _look_at_values(type_.fields, node.fields, types)
        elif node.loc is not None and _may_vary(type_, node):
            types[node.loc.start] = type_


def _may_vary(type_: Any, node: ValueNode) -> bool:
    if isinstance(node, IntValueNode):
        return type_ is GraphQLInt or type_ is GraphQLID
    return isinstance(type_, GraphQLScalarType) and isinstance(node, StringValueNode)


def _fitted(type_: GraphQLScalarType, literal: Any) -> Any:
    if type_ is GraphQLString:
        return literal
    if type_ is GraphQLID:
        return str(literal)
    if type_ is GraphQLInt:
        return literal if GRAPHQL_MIN_INT <= literal <= GRAPHQL_MAX_INT else Undefined
    return coerce_input_literal(StringValueNode(value=literal, block=False), type_)
