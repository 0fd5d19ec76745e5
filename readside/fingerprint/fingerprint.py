"""The fingerprint of the read models: what makes two versions of the code differ in what they store.

It is a hash of the code that runs between an event and Redis, wherever that code is: of a file that holds
queries too, the projection and all that it reaches; of each module of our own that this imports, everything.
docs/operations.md (Upgrades) says what changes it. Nothing is imported or executed to compute it.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib import metadata
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import resolve_name
from pathlib import Path

import msgspec

from readside.fingerprint.normalized_source import Text, lua, running

_MACHINERY = (
    "readside.applier:commands_for",
    "readside.applier:is_final",
    "readside.generations.fold:Fold",
    "readside.redis_functions.keys:Keys",
)
"""What runs for every projection, beside the functions in Redis."""

_NOT_STORED = (
    *(
        "append",
        "reset_stream",
        "compare_keys",
        "join_projectors",
        "leave_projectors",
        "lease",
        "read_snapshot",
        "release",
        "apply_scratch",
    ),
    "partition_status",
)
"""Functions of functions.lua that neither write nor check what a generation holds."""


class _Import(msgspec.Struct, frozen=True):
    """What an import statement binds to a name: a module, or an attribute of one."""

    module: str
    attribute: str = ""
    submodule: bool = False
    """Whether the attribute is a module itself."""

    @property
    def modules(self) -> list[str]:
        return [self.module, f"{self.module}.{self.attribute}"][: 1 + self.submodule]

    def text(self) -> str:
        """What is imported. Of our own files the names do not count, but what is in them."""
        if not _is_own(self.module):
            return f"{self.module}.{self.attribute}"
        if self.attribute and not self.submodule:
            return self.attribute
        spec = _find(self.modules[-1])
        text = "" if spec is None else Text().of(Module(spec).body)
        return hashlib.sha256(text.encode()).hexdigest()


class Module:
    """The source of one module of our own."""

    def __init__(self, spec: ModuleSpec) -> None:
        self.name = spec.name
        self._package = spec.name if spec.submodule_search_locations else spec.parent or ""
        self.body = ast.parse(_source(spec)).body
        self.binds = [_binds(node) for node in self.body]
        self.named: set[str] = set()
        """All identifiers, also of annotations that nothing reads."""
        self.imports: dict[str, set[_Import]] = {}
        for node in running(self.body):
            if isinstance(node, ast.Name):
                self.named.add(node.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                for name, one in self._bound(node):
                    self.imports.setdefault(name, set()).add(one)
            elif isinstance(node, ast.Call) and (name := _imported(node, self._package)):
                self.imports.setdefault(name, set()).add(_Import(name))

    def _bound(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, _Import]]:
        for alias in node.names:
            if isinstance(node, ast.Import):
                yield alias.asname or alias.name.partition(".")[0], _Import(alias.name)
            else:
                module = self._absolute(node)
                submodule = _is_own(module) and _find(f"{module}.{alias.name}") is not None
                yield alias.asname or alias.name, _Import(module, alias.name, submodule)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parents = self._package.split(".")
        parents = parents[: len(parents) - node.level + 1]
        return ".".join([*parents, *filter(None, [node.module])])

    def reached(self, seeds: Iterable[str]) -> list[ast.stmt]:
        """The statements of this module that these names need, and those that run without being named."""
        chosen = {place for place in range(len(self.body)) if self._runs_anyway(place)}
        names = {*seeds, *_names(self.body[place] for place in chosen)}
        while more := {
            place
            for place, binds in enumerate(self.binds)
            if place not in chosen and not names.isdisjoint(binds)
        }:
            chosen |= more
            names |= _names(self.body[place] for place in more)
        return [self.body[place] for place in sorted(chosen)]

    def _runs_anyway(self, place: int) -> bool:
        """Whether a statement may change what others do: it calls, or registers with our own code."""
        node = self.body[place]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return any(map(self._is_ours, _names(node.decorator_list)))
        if isinstance(node, ast.ClassDef):
            made_by = [*node.decorator_list, *node.bases, *node.keywords]
            return any(map(self._is_ours, _names(made_by)))
        return not self.binds[place] or any(map(self._may_register, ast.walk(node)))

    def _may_register(self, node: ast.AST) -> bool:
        """Whether a node calls our own code, other than a class: what that makes is used by its name."""
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Name) and self._is_class(node.func.id):
            return False
        return any(map(self._is_ours, _names([node.func])))

    def _is_class(self, name: str) -> bool:
        imported = (
            node
            for one in self.imports.get(name, ())
            if _is_own(one.module) and _find(one.module) is not None
            for node in _module(one.module).body
            if _binds(node) == {one.attribute}
        )
        here = (node for node in self.body if _binds(node) == {name})
        return any(isinstance(node, ast.ClassDef) for node in (*here, *imported))

    def is_module(self, name: str) -> bool:
        """Whether a name is that of an imported module of our own."""
        return all(
            _is_own(one.module) and (one.submodule or not one.attribute)
            for one in self.imports.get(name, ())
        )

    def _is_ours(self, name: str) -> bool:
        here = any(name in binds for binds in self.binds)
        return here or any(_is_own(one.module) for one in self.imports.get(name, ()))


class Reach:
    """The code that runs from some entries on, each given as `module:name`."""

    def __init__(self, entries: Iterable[str]) -> None:
        self.texts: dict[str, str] = {}
        """By module."""
        self.parts: dict[str, list[str]] = {}
        """Of each module that does not count as a whole, the names that do."""
        self.libraries: set[str] = set()
        """Distributions of others that this imports, each with its version."""
        _find.cache_clear()
        seeds: dict[str, list[str]] = {}
        for name, _, seed in (entry.partition(":") for entry in entries):
            seeds.setdefault(name, []).append(seed)
        for name in seeds:
            self._add_package(name)
            if name not in self.texts:  # or else something before it has the whole module
                self._add_part(_module(name), seeds[name])

    @property
    def text(self) -> str:
        """All of it, without the names of modules."""
        return "\0".join([*sorted(self.texts.values()), *sorted(self.libraries)])

    def _add_part(self, module: Module, seeds: Collection[str]) -> None:
        """What some names of a module need, in that module and in those that this imports."""
        statements = module.reached(seeds)
        used = _names(statements).union(seeds)
        self.parts[module.name] = sorted(name for node in statements for name in _binds(node))
        self._add_text(module, statements, used)
        for name, imports in module.imports.items():
            if (
                name in used or name not in module.named
            ):  # what is not named is imported for its effect
                self._follow(imports)

    def _add(self, name: str) -> None:
        """A module as a whole, and the packages that it is in."""
        if _find(name) is None or (name in self.texts and name not in self.parts):
            return
        module = _module(name)
        self.parts.pop(name, None)
        self._add_text(module, module.body, _names(module.body))
        self._add_package(name)
        for imports in module.imports.values():
            self._follow(imports)

    def _add_package(self, name: str) -> None:
        if package := name.rpartition(".")[0]:
            self._add(package)

    def _add_text(self, module: Module, statements: list[ast.stmt], used: set[str]) -> None:
        """In the text a module that is used by its name is called what it holds."""
        imported = {
            name: "|".join(sorted(one.text() for one in imports))
            for name, imports in module.imports.items()
            if name in used
        }
        modules = {name: imported[name] for name in imported if module.is_module(name)}
        lines = sorted(f"{name}={imported[name]}" for name in imported.keys() - modules)
        self.texts[module.name] = "\n".join([Text(modules).of(statements), *lines])

    def _follow(self, imports: Iterable[_Import]) -> None:
        for one in imports:
            if _is_own(one.module):
                for name in one.modules:
                    self._add(name)
            elif version := _version(one.module.partition(".")[0]):
                self.libraries.add(version)


def entries(models: Iterable[str]) -> list[str]:
    """Where the code of these modules begins, of which each has a function `project`."""
    return [*(f"{model}:project" for model in models), *_MACHINERY]


def fingerprint(models: Iterable[str]) -> str:
    """What the projections of these modules store, as 12 hexadecimal digits, the same on every Python."""
    reach = Reach(entries(models))
    folder = Path(__file__).parents[1] / "redis_functions"
    functions = lua(
        "".join((folder / name).read_text("utf-8") for name in ("functions.lua", "inspection.lua")),
        _NOT_STORED,
    )
    return hashlib.sha256(f"{reach.text}\0{functions}".encode()).hexdigest()[:12]


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    text = Text()
    text.of(list(nodes))
    return text.names


def _binds(node: ast.stmt) -> set[str]:
    """The names that a definition binds; none for a statement that does anything else."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            bound = targets
        case ast.AnnAssign(target=target):
            bound = [target]
        case _:
            return set()
    plain = all(isinstance(one, ast.Name | ast.Tuple) for one in bound)
    return _names(bound) if plain else set()


def _imported(call: ast.Call, package: str) -> str:
    """The module that a call such as import_module("a.b") names in the code; '' for any other call."""
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    match call.args:
        case [ast.Constant(value=str(module)), *_] if name in ("import_module", "__import__"):
            return resolve_name(module, package) if module.startswith(".") else module
    return ""


def _is_own(module: str) -> bool:
    """Whether a module is part of this project: neither of Python nor of a library."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return False
    return _find(top) is not None and _version(top) is None


@cache
def _version(top: str) -> str | None:
    """The library that has a top-level module, with its version; None for a module of our own.

    This project may be installed among the libraries itself.
    """
    spec = _find(top)
    if spec is None or not {"site-packages", "dist-packages"} & set(Path(spec.origin or "").parts):
        return None
    try:
        return f"{top} {metadata.version(top)}"
    except metadata.PackageNotFoundError:  # it has another name
        known = metadata.packages_distributions()
        others = set(known.get(top, ())) - set(known.get(__name__.partition(".")[0], ()))
        return " ".join(f"{name} {metadata.version(name)}" for name in sorted(others)) or None


def _module(name: str) -> Module:
    spec = _find(name)
    if spec is None:
        raise ModuleNotFoundError(name)
    return Module(spec)


def _source(spec: ModuleSpec) -> str:
    """The source of a module; of one that has none, an identifier made of what it is compiled to."""
    if not isinstance(spec.loader, InspectLoader):  # a package without __init__.py
        return ""
    source = spec.loader.get_source(spec.name)
    if source is None:
        return f"_{hashlib.sha256(Path(spec.origin or '').read_bytes()).hexdigest()}"
    return source


@cache
def _find(module: str) -> ModuleSpec | None:
    """Where a module is, without importing it."""
    package, _, _ = module.rpartition(".")
    if not package:
        return PathFinder.find_spec(module)
    within = _find(package)
    if within is None or within.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(module, within.submodule_search_locations)
