"""The Python text of a plan: one function for each selection set, an expression for each field.

    def User_7(it, run, path, waiting):
        if type(it) is not User_1: raise Irregular
        into = {'id': _ if type(_ := it.id) is str else ID_2(_), 'orders': None}
        waiting.append((orders_6, into, it, path + ('orders',)))
        return into

A value that is not as it should be raises something, whatever it is, and graphql-core tells what.
"""

from __future__ import annotations

import keyword
from typing import Any, Final

from api.engine.compiler.field_arguments import CannotCompile
from api.engine.compiler.plan import NeedsGraphQLCore

ALONE: Final = "it"
WITH_CALLS: Final = "it, run, path, waiting"
"""What a function is given: `it` is the value, the rest is for the calls that it adds."""

_MAX_CHARACTERS: Final = 20_000
"""Of one plan. Python takes about half a microsecond for each, and meanwhile nobody else is answered."""


class CodeGenerator:
    """Gathers the functions, and the names that they use."""

    def __init__(self) -> None:
        self._functions: list[str] = []
        self._characters = 0
        self._names: dict[str, Any] = {"Irregular": NeedsGraphQLCore, "listed": listed}

    @property
    def text(self) -> str:
        return "\n".join(self._functions)

    def name(self, meaning: str, value: Any) -> str:
        """A name for a value that the text uses; `meaning` is for readers."""
        name = f"{meaning}_{len(self._names)}"
        self._names[name] = value
        return name

    def function(self, meaning: str, parameters: str, *body: str) -> str:
        """Adds a function, and tells its name. Raises Unplannable if the plan grows too large."""
        name = self.name(meaning, None)
        text = "\n".join([f"def {name}({parameters}):", *(f"    {line}" for line in body), ""])
        self._functions.append(text)
        self._characters += len(text)
        if self._characters > _MAX_CHARACTERS:
            raise CannotCompile
        exec(text, self._names)  # noqa: S102 (what is in it, we wrote)
        return name

    def __getitem__(self, name: str) -> Any:
        """What has this name."""
        return self._names[name]


def attribute(name: str) -> str:
    """The expression for an attribute of what a function is given."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise CannotCompile
    return f"it.{name}"


def listed(value: Any) -> list[Any]:
    """The value, if it is a list."""
    if type(value) is not list:
        raise NeedsGraphQLCore
    return value
