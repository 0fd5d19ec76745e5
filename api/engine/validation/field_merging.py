"""Whether fields that are answered under one name in one place are surely one field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from graphql import ArgumentNode, FieldNode, print_ast

from api.engine.validation.schema_index import IndexedField
from api.engine.validation.undecided import require

ResponseNames: TypeAlias = dict[str, list[tuple[IndexedField, FieldNode]]]
"""The fields of a selection set and its fragments, by the names under which they are answered."""

_STEPS = 1_000
"""Fields put together or compared with one another. Documents can be made for which that takes long."""


class FieldMerging:
    """Of one document. Raises Unsure of fields that differ, even where that would do no harm."""

    def __init__(self) -> None:
        self._below: dict[int, ResponseNames] = {}
        self._steps = 0

    def keep(self, node: FieldNode, answered: ResponseNames) -> None:
        """What is selected of a field, in case it must be compared."""
        self._below[id(node)] = answered

    def add(self, to: ResponseNames, more: ResponseNames) -> None:
        """What is selected in the same place by a fragment."""
        self._spend(sum(map(len, more.values())))
        for name, fields in more.items():
            to.setdefault(name, []).extend(fields)

    def check(self, answered: ResponseNames) -> None:
        """Of all that is answered in one place."""
        for fields in answered.values():
            if len(fields) > 1:
                self._alike(fields)

    def _alike(self, fields: list[tuple[IndexedField, FieldNode]]) -> None:
        self._spend(len(fields) ** 2)
        (first, one), *others = fields
        for other, node in others:
            require(node.name.value == one.name.value and other.type == first.type)
            require(_printed(node.arguments) == _printed(one.arguments))
        if first.within is not None:
            together: ResponseNames = {}
            for _, node in fields:
                self.add(together, self._below[id(node)])
            self.check(together)

    def _spend(self, steps: int) -> None:
        self._steps += steps
        require(self._steps <= _STEPS)


def _printed(arguments: Sequence[ArgumentNode] | None) -> list[str]:
    return [print_ast(argument) for argument in arguments or ()]
