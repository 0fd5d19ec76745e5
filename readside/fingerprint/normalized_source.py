"""Normalizes source code to the text of what runs: without docstrings, comments, formatting and file names.

The text is the same on every Python that can parse the source. The output of `ast.dump` is not: it differs
between versions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby

_WITHOUT_EFFECT = frozenset({"ctx", "kind", "type_comment"})
"""Fields of syntax nodes that do not change what runs."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Normalizer:
    """Returns the text of statements; `names` collects the identifiers that they use."""

    def __init__(self, modules: Mapping[str, str] | None = None) -> None:
        """`modules`: the text that stands for an imported module, by its identifier."""
        self.names: set[str] = set()
        self._modules = modules if modules is not None else {}

    def text(self, node: object, *, annotated: bool = False) -> str:
        """Returns the text of a node, a list of them, or a constant; '' for a statement without effect.

        `annotated`: whether a base class or a decorator may read the annotations.
        """
        match node:
            case ast.Name():
                self.names.add(node.id)
                return self._modules.get(node.id, node.id)
            case str():
                return f"str:{node!a}"
            case list():
                texts = [self.text(item, annotated=annotated) for item in node]
                return f"[{','.join(filter(None, texts))}]"
            case ast.Expr(value=ast.Constant()) | ast.Pass() | ast.Import() | ast.ImportFrom():
                return ""
            case ast.If() if is_type_checking(node):
                return self.text(node.orelse, annotated=annotated)
            case ast.AnnAssign(value=None) if not annotated:
                return ""
            case ast.AnnAssign(value=ast.expr() as value) if not annotated:
                return self.text(ast.Assign([node.target], value))
            case ast.JoinedStr():
                return f"JoinedStr({self.text(_joined(node.values))})"
            case ast.arg() if not annotated:
                return f"arg({node.arg})"
            case ast.AST():
                return f"{type(node).__name__}({','.join(self._fields(node, annotated))})"
            case int() if not isinstance(node, bool):
                return hex(node)  # of any size, unlike decimal digits
            case _:
                return f"{type(node).__name__}:{node!a}"

    def _fields(self, node: ast.AST, annotated: bool) -> Iterator[str]:
        """Leaves out empty fields: older versions of Python do not have every field."""
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(node, ast.ClassDef):
                annotated = name == "body"
            elif isinstance(node, _Function):
                annotated = name in ("args", "returns") and bool(node.decorator_list)
            if name in _WITHOUT_EFFECT or (name == "returns" and not annotated):
                continue
            if value is None and not isinstance(node, ast.Constant):
                continue
            text = self.text(value, annotated=annotated)
            if text != "[]":
                yield f"{name}={text}"


def is_type_checking(node: ast.stmt) -> bool:
    """Returns whether a statement is `if TYPE_CHECKING:`, of which only the `else` runs."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def running_nodes(statements: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """Yields all nodes of statements that run, which those for the type checker do not."""
    for statement in statements:
        if is_type_checking(statement):
            assert isinstance(statement, ast.If)
            yield from running_nodes(statement.orelse)
        else:
            yield from walk(statement)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yields a node and all below it, except `ctx`: in half the time of `ast.walk`."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                stack += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST) and name != "ctx":
                stack.append(value)


def _joined(values: Iterable[ast.expr]) -> list[ast.expr]:
    """Returns the parts of an f-string. Python's versions split the text between its values differently."""
    parts: list[ast.expr] = []
    for constant, group in groupby(values, lambda value: isinstance(value, ast.Constant)):
        if not constant:
            parts += group
        elif text := "".join(str(getattr(part, "value", "")) for part in group):
            parts.append(ast.Constant(text))
    return parts


_LUA_STRING_OR_COMMENT = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|--.*""")
_LUA_STATEMENT = re.compile(r"^(?=\S)(?!end\b|\})", re.MULTILINE)
_LUA_NAMES = re.compile(r"local (?:function )?([\w, ]+)")
_LUA_REGISTERED = re.compile(r"(\w+)_VERSION'")


def normalize_lua(source: str, excluded: Collection[str]) -> str:
    """Returns the text of the registered functions except `excluded`, and of all that they use."""
    code = _LUA_STRING_OR_COMMENT.sub(lambda match: match[1] or "", source)
    code = "\n".join(line.rstrip() for line in code.splitlines() if line.strip())
    statements: dict[str, str] = {}
    for statement in _LUA_STATEMENT.split(code):
        if names := _LUA_NAMES.match(statement):
            statements |= dict.fromkeys(re.findall(r"\w+", names[1]), statement)
    used, added = set(), set(_LUA_REGISTERED.findall(code)) - set(excluded)
    while added:
        used |= added
        words = {word for name in added for word in re.findall(r"\w+", statements[name])}
        added = (words & statements.keys()) - used
    return "\n".join(sorted({re.sub(r"\n\s*", "\n", statements[name]) for name in used}))
