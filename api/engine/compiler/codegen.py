"""Generates the Python text of a plan: one function for each selection set, an expression for each field.

    def User_7(value, run, path, pending):
        if type(value) is not User_1: raise NeedsGraphQLCore
        data = {'id': v1 if type(v1 := value.id) is str else ID_2(v1), 'orders': None}
        pending.append((orders_6, data, value, path + ('orders',)))
        return data

An unexpected value raises some exception, and graphql-core then words the error.
"""

from __future__ import annotations

import keyword
from typing import Any, Final

from api.engine.compiler.field_arguments import CannotCompile
from api.engine.compiler.plan import NeedsGraphQLCore

VALUE: Final = "value"
"""The parameter of a function that adds no calls."""

VALUE_AND_CALLS: Final = "value, run, path, pending"
"""The parameters of a function that adds calls of resolvers to `pending`."""

_MAX_CHARACTERS: Final = 20_000
"""Characters of a plan. Python compiles one in about half a microsecond, which blocks the event loop."""


class CodeGenerator:
    """Collects the functions of a plan, and the names that they use."""

    def __init__(self) -> None:
        self._functions: list[str] = []
        self._characters = 0
        self._names: dict[str, Any] = {
            "NeedsGraphQLCore": NeedsGraphQLCore,
            "require_list": require_list,
        }

    @property
    def text(self) -> str:
        return "\n".join(self._functions)

    def name(self, prefix: str, value: Any) -> str:
        """Returns a name for a value that the text uses; `prefix` is for readers."""
        name = f"{prefix}_{len(self._names)}"
        self._names[name] = value
        return name

    def function(self, prefix: str, parameters: str, *body: str) -> str:
        """Adds a function and returns its name. Raises CannotCompile if the plan grows too large."""
        name = self.name(prefix, None)
        text = "\n".join([f"def {name}({parameters}):", *(f"    {line}" for line in body), ""])
        self._functions.append(text)
        self._characters += len(text)
        if self._characters > _MAX_CHARACTERS:
            raise CannotCompile
        exec(text, self._names)  # noqa: S102 (no text of a client is in it)
        return name

    def __getitem__(self, name: str) -> Any:
        """Returns the value of a name."""
        return self._names[name]


def attribute(name: str) -> str:
    """Returns the expression for an attribute of the function's value."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise CannotCompile
    return f"value.{name}"


def require_list(value: Any) -> list[Any]:
    """Returns the value. Raises NeedsGraphQLCore unless it is a list."""
    if type(value) is not list:
        raise NeedsGraphQLCore
    return value
