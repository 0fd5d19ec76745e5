"""Requires that fields with the same response name in a selection set are the same field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from graphql import ArgumentNode, FieldNode, print_ast

from api.engine.validation.schema_index import IndexedField
from api.engine.validation.undecided import require

ResponseNames: TypeAlias = dict[str, list[tuple[IndexedField, FieldNode]]]
"""The fields of a selection set and its fragments, by response name."""

_MAX_STEPS = 1_000
"""Fields merged or compared in a document. Documents can be made for which that takes long."""


class FieldMerging:
    """The merging of fields in one document. Raises Undecided for fields that differ, even where they may."""

    def __init__(self) -> None:
        self._selections: dict[int, ResponseNames] = {}
        self._steps = 0

    def remember(self, node: FieldNode, selected: ResponseNames) -> None:
        """Stores the selection set of a field, in case the field must be compared."""
        self._selections[id(node)] = selected

    def add(self, to: ResponseNames, more: ResponseNames) -> None:
        """Adds the fields of a fragment to those of the selection set that it is in."""
        self._count_steps(sum(map(len, more.values())))
        for name, fields in more.items():
            to.setdefault(name, []).extend(fields)

    def check(self, selected: ResponseNames) -> None:
        """Raises Undecided if fields of a selection set with the same response name differ."""
        for fields in selected.values():
            if len(fields) > 1:
                self._require_equal(fields)

    def _require_equal(self, fields: list[tuple[IndexedField, FieldNode]]) -> None:
        self._count_steps(len(fields) ** 2)
        (first, first_node), *others = fields
        for other, node in others:
            require(node.name.value == first_node.name.value and other.type == first.type)
            require(_printed(node.arguments) == _printed(first_node.arguments))
        if first.composite is not None:
            merged: ResponseNames = {}
            for _, node in fields:
                self.add(merged, self._selections[id(node)])
            self.check(merged)

    def _count_steps(self, steps: int) -> None:
        self._steps += steps
        require(self._steps <= _MAX_STEPS)


def _printed(arguments: Sequence[ArgumentNode] | None) -> list[str]:
    return [print_ast(argument) for argument in arguments or ()]
