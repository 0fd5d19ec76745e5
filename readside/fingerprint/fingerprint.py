"""The fingerprint of the read models: two versions of the code with the same fingerprint store the same.

It is a hash of the code that runs between an event and Redis, wherever that code is: the projection and what
it uses in its own file, which holds queries too, and the whole of each of our modules that this imports.
docs/operations.md (Upgrades) lists what changes it. Nothing is imported or executed to compute it.
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

from readside.fingerprint.normalized_source import (
    Normalizer,
    normalize_lua,
    running_nodes,
    walk,
)

_SHARED_CODE = (
    "readside.applier:commands_for",
    "readside.generations.fold:Fold",
    "readside.redis_functions.keys:Keys",
)
"""Runs for every projection, in addition to the functions in Redis."""

_LUA_FILES = ("functions.lua", "inspection.lua")

_WITHOUT_STORED_EFFECT = (
    *("append", "reset_stream", "lease", "release", "join_projectors", "leave_projectors"),
    *("read_snapshot", "partition_status", "apply_scratch", "compare_keys", "copy_keys"),
)
"""Functions in Redis that neither write nor check the contents of a generation."""


class _Import(msgspec.Struct, frozen=True):
    """The target of an import that is bound to a name: a module, or an attribute of one."""

    module: str
    attribute: str = ""
    submodule: bool = False
    """Whether the attribute is a module itself."""

    @property
    def modules(self) -> list[str]:
        return [self.module, f"{self.module}.{self.attribute}"][: 1 + self.submodule]

    def text(self) -> str:
        """Returns what is imported. For a module of our own that is its contents and not its name."""
        if not _is_own(self.module):
            return f"{self.module}.{self.attribute}"
        if self.attribute and not self.submodule:
            return self.attribute
        spec = _find(self.modules[-1])
        text = "" if spec is None else Normalizer().text(Module(spec).body)
        return hashlib.sha256(text.encode()).hexdigest()


class Module:
    """The source of one module of our own."""

    def __init__(self, spec: ModuleSpec) -> None:
        self.name = spec.name
        self._package = spec.name if spec.submodule_search_locations else spec.parent or ""
        self.body = ast.parse(_source(spec)).body
        self.binds = [_bound_names(node) for node in self.body]
        self.named: set[str] = set()
        """All identifiers, with those of annotations that nothing reads."""
        self.imports: dict[str, set[_Import]] = {}
        for node in running_nodes(self.body):
            if isinstance(node, ast.Name):
                self.named.add(node.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                for name, target in self._targets(node):
                    self.imports.setdefault(name, set()).add(target)
            elif isinstance(node, ast.Call) and (name := _imported_module(node, self._package)):
                self.imports.setdefault(name, set()).add(_Import(name))

    def _targets(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, _Import]]:
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
        """Returns the statements that these names need, and those that run without being named."""
        chosen = {index for index in range(len(self.body)) if self._always_runs(index)}
        names = {*seeds, *_names(self.body[index] for index in chosen)}
        while more := {
            index
            for index, binds in enumerate(self.binds)
            if index not in chosen and not names.isdisjoint(binds)
        }:
            chosen |= more
            names |= _names(self.body[index] for index in more)
        return [self.body[index] for index in sorted(chosen)]

    def _always_runs(self, index: int) -> bool:
        """Returns whether a statement may affect others: it calls our own code, or registers with it."""
        node = self.body[index]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return any(map(self._is_ours, _names(node.decorator_list)))
        if isinstance(node, ast.ClassDef):
            creators = [*node.decorator_list, *node.bases, *node.keywords]
            return any(map(self._is_ours, _names(creators)))
        return not self.binds[index] or any(map(self._may_register, walk(node)))

    def _may_register(self, node: ast.AST) -> bool:
        """Returns whether a node calls our own code, except a class: an instance is used by its name."""
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Name) and self._is_class(node.func.id):
            return False
        return any(map(self._is_ours, _names([node.func])))

    def _is_class(self, name: str) -> bool:
        imported = (
            node
            for target in self.imports.get(name, ())
            if _is_own(target.module) and _find(target.module) is not None
            for node in _module(target.module).body
            if _bound_names(node) == {target.attribute}
        )
        local = (node for node in self.body if _bound_names(node) == {name})
        return any(isinstance(node, ast.ClassDef) for node in (*local, *imported))

    def is_module(self, name: str) -> bool:
        """Returns whether a name is that of an imported module of our own."""
        return all(
            _is_own(target.module) and (target.submodule or not target.attribute)
            for target in self.imports.get(name, ())
        )

    def _is_ours(self, name: str) -> bool:
        is_local = any(name in binds for binds in self.binds)
        return is_local or any(_is_own(target.module) for target in self.imports.get(name, ()))


class _ModuleTexts(dict[str, str]):
    """The text of what a name of a module imports, computed when the name is used."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def __missing__(self, name: str) -> str:
        targets = self._module.imports.get(name, ())
        self[name] = "|".join(sorted(target.text() for target in targets))
        return self[name]

    def get(self, name: str, default: str) -> str:  # type: ignore[override]
        is_module = name in self._module.imports and self._module.is_module(name)
        return self[name] if is_module else default


class Reach:
    """The code that runs from some entry points, each given as `module:name`."""

    def __init__(self, entry_points: Iterable[str]) -> None:
        self.texts: dict[str, str] = {}
        """By module."""
        self.parts: dict[str, list[str]] = {}
        """For each module that does not count as a whole, the names that do."""
        self.libraries: set[str] = set()
        """Third-party distributions that this imports, each with its version."""
        _find.cache_clear()
        _is_own.cache_clear()
        seeds: dict[str, list[str]] = {}
        for name, _, seed in (entry_point.partition(":") for entry_point in entry_points):
            seeds.setdefault(name, []).append(seed)
        for name in seeds:
            self._add_package(name)
            if name not in self.texts:  # otherwise the whole module was added before
                self._add_part(_module(name), seeds[name])

    @property
    def text(self) -> str:
        """The whole text, without the names of modules."""
        return "\0".join([*sorted(self.texts.values()), *sorted(self.libraries)])

    def _add_part(self, module: Module, seeds: Collection[str]) -> None:
        """Adds what some names of a module need, in it and in the modules that this imports."""
        statements = module.reached(seeds)
        self.parts[module.name] = sorted(name for node in statements for name in _bound_names(node))
        used = self._add_text(module, statements, seeds)
        for name, targets in module.imports.items():
            # A name that is not used anywhere is imported for its effect.
            if name in used or name not in module.named:
                self._follow(targets)

    def _add(self, name: str) -> None:
        """Adds a whole module, and the packages that contain it."""
        if _find(name) is None or (name in self.texts and name not in self.parts):
            return
        module = _module(name)
        self.parts.pop(name, None)
        self._add_text(module, module.body, ())
        self._add_package(name)
        for targets in module.imports.values():
            self._follow(targets)

    def _add_package(self, name: str) -> None:
        if package := name.rpartition(".")[0]:
            self._add(package)

    def _add_text(
        self, module: Module, statements: list[ast.stmt], seeds: Collection[str]
    ) -> set[str]:
        """Adds the text of statements, with the contents of modules for their names; returns all names."""
        imported = _ModuleTexts(module)
        normalizer = Normalizer(imported)
        text = normalizer.text(statements)
        used = normalizer.names.union(seeds)
        lines = sorted(
            f"{name}={imported[name]}"
            for name in used & module.imports.keys()
            if not module.is_module(name)
        )
        self.texts[module.name] = "\n".join([text, *lines])
        return used

    def _follow(self, targets: Iterable[_Import]) -> None:
        for target in targets:
            if _is_own(target.module):
                for name in target.modules:
                    self._add(name)
            elif version := _version(target.module.partition(".")[0]):
                self.libraries.add(version)


def entry_points(models: Iterable[str]) -> list[str]:
    """Returns where the code of these modules begins, of which each has a function `project`."""
    return [*(f"{model}:project" for model in models), *_SHARED_CODE]


def fingerprint(models: Iterable[str]) -> str:
    """Returns 12 hexadecimal digits for what these modules' projections store, the same on every Python."""
    reach = Reach(entry_points(models))
    folder = Path(__file__).parents[1] / "redis_functions"
    source = "".join((folder / name).read_text("utf-8") for name in _LUA_FILES)
    functions = normalize_lua(source, _WITHOUT_STORED_EFFECT)
    return hashlib.sha256(f"{reach.text}\0{functions}".encode()).hexdigest()[:12]


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    normalizer = Normalizer()
    normalizer.text(list(nodes))
    return normalizer.names


def _bound_names(node: ast.stmt) -> set[str]:
    """Returns the names that a definition binds; none for a statement that does anything else."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            bound = targets
        case ast.AnnAssign(target=target):
            bound = [target]
        case _:
            return set()
    plain = all(isinstance(target, ast.Name | ast.Tuple) for target in bound)
    return _names(bound) if plain else set()


def _imported_module(call: ast.Call, package: str) -> str:
    """Returns the module that a call such as import_module("a.b") imports; '' for any other call."""
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    match call.args:
        case [ast.Constant(value=str(module)), *_] if name in ("import_module", "__import__"):
            return resolve_name(module, package) if module.startswith(".") else module
    return ""


@cache
def _is_own(module: str) -> bool:
    """Returns whether a module is part of this project, neither of Python nor of a library."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return False
    return _find(top) is not None and _version(top) is None


@cache
def _version(top: str) -> str | None:
    """Returns the library of a top-level module, with its version; None for a module of our own.

    This project may be installed among the libraries itself.
    """
    spec = _find(top)
    if spec is None or not {"site-packages", "dist-packages"} & set(Path(spec.origin or "").parts):
        return None
    try:
        return f"{top} {metadata.version(top)}"
    except metadata.PackageNotFoundError:  # it has another name
        distributions = metadata.packages_distributions()
        own = set(distributions.get(__name__.partition(".")[0], ()))
        others = set(distributions.get(top, ())) - own
        return " ".join(f"{name} {metadata.version(name)}" for name in sorted(others)) or None


def _module(name: str) -> Module:
    spec = _find(name)
    if spec is None:
        raise ModuleNotFoundError(name)
    return Module(spec)


def _source(spec: ModuleSpec) -> str:
    """Returns the source of a module; for one without source an identifier made of its compiled code."""
    if not isinstance(spec.loader, InspectLoader):  # a package without __init__.py
        return ""
    source = spec.loader.get_source(spec.name)
    if source is None:
        return f"_{hashlib.sha256(Path(spec.origin or '').read_bytes()).hexdigest()}"
    return source


@cache
def _find(module: str) -> ModuleSpec | None:
    """Finds a module without importing it."""
    package, _, _ = module.rpartition(".")
    if not package:
        return PathFinder.find_spec(module)
    parent = _find(package)
    if parent is None or parent.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(module, parent.submodule_search_locations)
