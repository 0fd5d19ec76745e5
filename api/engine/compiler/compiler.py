"""From an operation to its plan: which resolver answers each field, and how the answer is put together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from graphql import (
    Executor,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    OperationType,
    get_named_type,
    is_abstract_type,
    is_interface_type,
    is_leaf_type,
    is_list_type,
)
from graphql.execution.collect_fields import collect_fields
from strawberry.types.field import StrawberryField

from api.auth.scopes import Scope
from api.engine.compiler.codegen import ALONE, WITH_CALLS, CodeGenerator, attribute
from api.engine.compiler.field_arguments import CannotCompile, LiteralIndex
from api.engine.compiler.leaf_types import completer, fitting
from api.engine.compiler.plan import Completer, FieldCall, Plan
from api.engine.compiler.resolver_calls import resolver

if TYPE_CHECKING:
    from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
    from strawberry.schema.schema_converter import GraphQLCoreConverter

_DEFINITION: Final = "strawberry-definition"


def compiled(
    execution: Executor[None], converter: GraphQLCoreConverter, places: LiteralIndex
) -> Plan:
    """The plan of an operation as graphql-core is about to execute it. Raises Unplannable.

    It holds for all requests whose @skip and @include turn out in the same way.
    """
    return _Compiler(execution, converter, places).plan()


class _Compiler:
    def __init__(
        self, execution: Executor[None], converter: GraphQLCoreConverter, places: LiteralIndex
    ) -> None:
        self._execution = execution
        self._converter = converter
        self._places = places
        self._source = CodeGenerator()
        self._scopes: set[Scope] = set()
        self._temporaries = 0

    def plan(self) -> Plan:
        execution = self._execution
        kind = execution.operation.operation
        root = execution.schema.get_root_type(kind)
        if root is None or kind is OperationType.SUBSCRIPTION:
            raise CannotCompile
        fields = collect_fields(
            execution.schema,
            execution.fragments,
            execution.variable_values,
            root,
            execution.operation,
            execution.hide_suggestions,
        ).grouped_field_set
        name, adds = self._selected(root, fields)
        return Plan(
            root=self._with_calls(name, adds=adds),
            serially=kind is OperationType.MUTATION,
            scopes=frozenset(self._scopes),
            source=self._source.text,
        )

    def _with_calls(self, name: str, *, adds: bool) -> Completer:
        """The function of this name as one that is given everything."""
        function = self._source[name]
        return function if adds else lambda it, *_: function(it)

    # A selection set

    def _object(self, type_: GraphQLObjectType, details: FieldDetailsList) -> tuple[str, bool]:
        """The function for what is selected of an object, and whether it adds calls."""
        fields = self._execution.collect_subfields(type_, details).grouped_field_set
        origin = self._source.name(type_.name, _class_of(type_))
        return self._selected(type_, fields, f"if type(it) is not {origin}: raise Irregular")

    def _selected(
        self, type_: GraphQLObjectType, fields: GroupedFieldSet, *check: str
    ) -> tuple[str, bool]:
        entries, calls, adds = [], [], False
        for key, details in fields.items():
            value, call, adds_below = self._field(type_, key, details)
            entries.append(f"{key!r}: {value}")
            calls += [call] if call else []
            adds = adds or adds_below
        made = f"{{{', '.join(entries)}}}"
        if not adds:
            return self._source.function(type_.name, ALONE, *check, f"return {made}"), False
        body = (*check, f"into = {made}", *calls, "return into")
        return self._source.function(type_.name, WITH_CALLS, *body), True

    def _field(
        self, type_: GraphQLObjectType, key: str, details: FieldDetailsList
    ) -> tuple[str, str | None, bool]:
        """The expression for a field, the line that adds its call, and whether it adds any, below it too."""
        name = details[0].node.name.value
        if name == "__typename":
            return repr(type_.name), None, False
        field = type_.fields.get(name)
        if field is None:  # __schema and __type
            raise CannotCompile
        definition: StrawberryField = _definition(field.extensions)
        if definition.extensions:
            raise CannotCompile
        if (scope := definition.metadata.get(Scope)) is not None:
            self._scopes.add(scope)
        path = f"path + ({key!r},)"
        if definition.base_resolver is None:
            value = attribute(definition.python_name)
            made, adds = self._completed(field.type, details, value, path)
            return made, None, adds
        call = self._source.name(name, self._call(key, field, definition, details))
        return "None", f"waiting.append(({call}, into, it, {path}))", True

    # A field that is called

    def _call(
        self,
        key: str,
        field: GraphQLField,
        definition: StrawberryField,
        details: FieldDetailsList,
    ) -> FieldCall:
        value, _ = self._completed(field.type, details, "it", "path")
        complete = self._source.function(f"{key}_of", WITH_CALLS, f"return {value}")
        return FieldCall(
            key=key,
            resolve=resolver(field, definition, details[0].node, self._converter, self._places),
            selected=frozenset(self._names_below(field.type, details)),
            complete=self._source[complete],
        )

    def _names_below(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Iterable[str]:
        for object_ in self._possible(type_):
            fields = self._execution.collect_subfields(object_, details).grouped_field_set
            yield from (found[0].node.name.value for found in fields.values())

    def _possible(self, type_: GraphQLOutputType) -> Iterable[GraphQLObjectType]:
        named: Any = get_named_type(type_)
        if is_leaf_type(named):
            return ()
        if is_abstract_type(named):
            return self._execution.schema.get_possible_types(named)
        return (named,)

    # A value

    def _completed(
        self, type_: GraphQLOutputType, details: FieldDetailsList, value: str, path: str
    ) -> tuple[str, bool]:
        """The expression that makes of a value what the client is answered, and whether it adds calls."""
        if isinstance(type_, GraphQLNonNull):
            return self._not_null(type_.of_type, details, value, path)
        it = self._temporary()
        inner, adds = self._not_null(type_, details, it, path)
        return f"None if ({it} := {value}) is None else {inner}", adds

    def _not_null(
        self, type_: Any, details: FieldDetailsList, value: str, path: str
    ) -> tuple[str, bool]:
        if is_list_type(type_):
            return self._list(type_, details, value, path)
        if is_leaf_type(type_):
            return self._leaf(type_, value), False
        if is_abstract_type(type_):
            return self._abstract(type_, details, value, path)
        function, adds = self._object(type_, details)
        return _called(function, value, path, adds=adds), adds

    def _list(
        self, type_: GraphQLList[Any], details: FieldDetailsList, value: str, path: str
    ) -> tuple[str, bool]:
        it, at = self._temporary(), self._temporary()
        each, adds = self._completed(type_.of_type, details, it, f"{path} + ({at},)")
        if adds:
            return f"[({each}) for {at}, {it} in enumerate(listed({value}))]", True
        return f"[({each}) for {it} in listed({value})]", False

    def _abstract(
        self, type_: Any, details: FieldDetailsList, value: str, path: str
    ) -> tuple[str, bool]:
        """The function is found by the class of the value."""
        if is_interface_type(type_) and _definition(type_.extensions).resolve_type is not None:
            raise CannotCompile
        made = {
            _class_of(object_): self._object(object_, details) for object_ in self._possible(type_)
        }
        adds = any(adds for _, adds in made.values())
        by_class = {
            origin: self._with_calls(name, adds=adds_itself) if adds else self._source[name]
            for origin, (name, adds_itself) in made.items()
        }
        it = self._temporary()
        function = f"{self._source.name(type_.name, by_class)}[type({it} := {value})]"
        return _called(function, it, path, adds=adds), adds

    def _leaf(self, type_: Any, value: str) -> str:
        """The simple types are checked right there; everything else is for the type to complete."""
        complete, fits = self._source.name(type_.name, completer(type_)), fitting(type_)
        if fits is None:
            return f"{complete}({value})"
        it = self._temporary()
        return f"{it} if {fits.format(f'({it} := {value})', it)} else {complete}({it})"

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"v{self._temporaries}"


def _called(function: str, value: str, path: str, *, adds: bool) -> str:
    return f"{function}({value}, run, {path}, waiting)" if adds else f"{function}({value})"


def _class_of(type_: GraphQLObjectType) -> Any:
    """The class of all its values. Raises Unplannable if the type has a way of its own to know them."""
    definition = _definition(type_.extensions)
    if definition.is_type_of is not None:
        raise CannotCompile
    return definition.origin


def _definition(extensions: dict[str, Any]) -> Any:
    """What Strawberry knows of a type or of a field."""
    if _DEFINITION not in extensions:
        raise CannotCompile
    return extensions[_DEFINITION]
