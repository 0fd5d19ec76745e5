"""What source code does, as text: without docstrings, comments, formatting and the names of files.

The text is the same on every Python that can parse the source, so `ast.dump` does not do: what it writes
differs between versions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby

_WITHOUT_EFFECT = frozenset({"ctx", "kind", "type_comment"})
"""Fields of syntax nodes that do not change what runs."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Text:
    """The text of statements. `names` collects the identifiers that they use."""

    def __init__(self, modules: Mapping[str, str] | None = None) -> None:
        """`modules`: by the identifier of an imported module what stands for it in the text."""
        self.names: set[str] = set()
        self._modules = modules or {}

    def of(self, node: object, *, annotated: bool = False) -> str:
        """The text of a node, of a list of them, or of a constant; '' for a statement without effect.

        `annotated`: whether something may read the annotations: a base class, or a decorator.
        """
        match node:
            case list():
                texts = [self.of(item, annotated=annotated) for item in node]
                return f"[{','.join(filter(None, texts))}]"
            case ast.Expr(value=ast.Constant()) | ast.Pass() | ast.Import() | ast.ImportFrom():
                return ""
            case ast.If() if for_type_checking(node):
                return self.of(node.orelse, annotated=annotated)
            case ast.AnnAssign(value=None) if not annotated:
                return ""
            case ast.AnnAssign(value=ast.expr() as value) if not annotated:
                return self.of(ast.Assign([node.target], value))
            case ast.JoinedStr():
                return f"JoinedStr({self.of(_joined(node.values))})"
            case ast.Name():
                self.names.add(node.id)
                return self._modules.get(node.id, node.id)
            case ast.arg() if not annotated:
                return f"arg({node.arg})"
            case ast.AST():
                return f"{type(node).__name__}({','.join(self._fields(node, annotated))})"
            case int() if not isinstance(node, bool):
                return hex(node)  # of any size, which decimal digits are not
            case _:
                return f"{type(node).__name__}:{node!a}"

    def _fields(self, node: ast.AST, annotated: bool) -> Iterator[str]:
        """What is empty is left out: older versions of Python do not have every field."""
        for name, value in ast.iter_fields(node):
            if isinstance(node, ast.ClassDef):
                annotated = name == "body"
            elif isinstance(node, _Function):
                annotated = name in ("args", "returns") and bool(node.decorator_list)
            if name in _WITHOUT_EFFECT or (name == "returns" and not annotated):
                continue
            if value is None and not isinstance(node, ast.Constant):
                continue
            text = self.of(value, annotated=annotated)
            if text != "[]":
                yield f"{name}={text}"


def for_type_checking(node: ast.stmt) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, of which only the `else` runs."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def running(statements: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes of statements that run, which those for the type checker do not."""
    for statement in statements:
        if for_type_checking(statement):
            assert isinstance(statement, ast.If)
            yield from running(statement.orelse)
        else:
            yield from ast.walk(statement)


def _joined(values: Iterable[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string. Versions of Python cut the text between its values differently."""
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


def lua(source: str, without: Collection[str]) -> str:
    """What the registered functions do, and all that they use, but for the functions named in `without`."""
    code = _LUA_STRING_OR_COMMENT.sub(lambda found: found[1] or "", source)
    code = "\n".join(line.rstrip() for line in code.splitlines() if line.strip())
    statements: dict[str, str] = {}
    for statement in _LUA_STATEMENT.split(code):
        if names := _LUA_NAMES.match(statement):
            statements |= dict.fromkeys(re.findall(r"\w+", names[1]), statement)
    used, left = set(), set(_LUA_REGISTERED.findall(code)) - set(without)
    while left:
        used |= left
        left = {word for name in left for word in re.findall(r"\w+", statements[name])}
        left = (left & statements.keys()) - used
    return "\n".join(sorted({re.sub(r"\n\s*", "\n", statements[name]) for name in used}))
