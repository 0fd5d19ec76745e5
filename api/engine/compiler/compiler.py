"""Compiles an operation to a plan: which resolvers to call, and functions that build the response."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from graphql import (
    Executor,
    FieldNode,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    OperationType,
    is_abstract_type,
    is_interface_type,
    is_leaf_type,
    is_list_type,
)
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from api.auth.scopes import SCOPE
from api.engine.compiler.codegen import VALUE, VALUE_AND_CALLS, CodeGenerator, attribute
from api.engine.compiler.field_arguments import CannotCompile
from api.engine.compiler.leaf_types import check_expression, completer
from api.engine.compiler.plan import Completer, FieldCall, Plan
from api.engine.compiler.resolver_calls import Resolve, resolver
from api.engine.literals import LiteralIndex
from api.engine.resolver_info import possible_types

_DEFINITION: Final = "strawberry-definition"


def compile_plan(
    execution: Executor[None], converter: GraphQLCoreConverter, literal_index: LiteralIndex
) -> Plan:
    """Returns the plan of an operation that graphql-core is about to execute. Raises CannotCompile.

    It is valid for all requests with the same @skip and @include conditions.
    """
    return _Compiler(execution, converter, literal_index).plan()


class _Compiler:
    """Methods that return an expression or the name of a function also return whether it adds calls."""

    def __init__(
        self,
        execution: Executor[None],
        converter: GraphQLCoreConverter,
        literal_index: LiteralIndex,
    ) -> None:
        self._execution = execution
        self._converter = converter
        self._literal_index = literal_index
        self._code = CodeGenerator()
        self._scopes: set[str] = set()
        self._temporaries = 0
        self._calls = 0

    def plan(self) -> Plan:
        execution = self._execution
        type_ = execution.operation.operation
        root = execution.schema.get_root_type(type_)
        if root is None:
            raise CannotCompile
        fields = collect_fields(
            execution.schema,
            execution.fragments,
            execution.variable_values,
            root,
            execution.operation,
            execution.hide_suggestions,
        ).grouped_field_set
        name, adds_calls = self._selection_set(root, fields)
        return Plan(
            root=self._with_call_parameters(name, adds_calls=adds_calls),
            serial=type_ is OperationType.MUTATION,
            responds_to_event_alone=type_ is OperationType.SUBSCRIPTION and self._calls == 1,
            scopes=frozenset(self._scopes),
            source=self._code.text,
        )

    def _with_call_parameters(self, name: str, *, adds_calls: bool) -> Completer:
        """Returns the function of this name with the parameters VALUE_AND_CALLS."""
        function = self._code[name]
        return function if adds_calls else lambda value, *_: function(value)

    # Selection sets

    def _object(self, type_: GraphQLObjectType, details: FieldDetailsList) -> tuple[str, bool]:
        """Returns the function that builds an object of the response."""
        fields = self._execution.collect_subfields(type_, details).grouped_field_set
        class_ = self._code.name(type_.name, _class_of(type_))
        check = f"if type(value) is not {class_}: raise NeedsGraphQLCore"
        return self._selection_set(type_, fields, check)

    def _selection_set(
        self, type_: GraphQLObjectType, fields: GroupedFieldSet, *checks: str
    ) -> tuple[str, bool]:
        entries, calls, adds_calls = [], [], False
        for key, details in fields.items():
            value, call, field_adds_calls = self._field(type_, key, details)
            entries.append(f"{key!r}: {value}")
            calls += [call] if call else []
            adds_calls = adds_calls or field_adds_calls
        data = f"{{{', '.join(entries)}}}"
        if not adds_calls:
            return self._code.function(type_.name, VALUE, *checks, f"return {data}"), False
        body = (*checks, f"data = {data}", *calls, "return data")
        return self._code.function(type_.name, VALUE_AND_CALLS, *body), True

    def _field(
        self, type_: GraphQLObjectType, key: str, details: FieldDetailsList
    ) -> tuple[str, str | None, bool]:
        """Returns the expression, the line that adds the field's call, and whether any call is added."""
        name = details[0].node.name.value
        if name == "__typename":
            return repr(type_.name), None, False
        field = type_.fields.get(name)
        if field is None:  # __schema and __type
            raise CannotCompile
        definition: StrawberryField = _definition(field.extensions)
        if definition.extensions:
            raise CannotCompile
        if (scope := definition.metadata.get(SCOPE)) is not None:
            self._scopes.add(scope)
        path = f"path + ({key!r},)"
        if definition.base_resolver is None:
            value = attribute(definition.python_name)
            expression, adds_calls = self._completed(field.type, details, value, path)
            return expression, None, adds_calls
        call = self._code.name(name, self._call(type_, key, field, definition, details))
        return "None", f"pending.append(({call}, data, value, {path}))", True

    # Fields with resolvers

    def _call(
        self,
        type_: GraphQLObjectType,
        key: str,
        field: GraphQLField,
        definition: StrawberryField,
        details: FieldDetailsList,
    ) -> FieldCall:
        self._calls += 1
        value, _ = self._completed(field.type, details, "value", "path")
        complete = self._code.function(f"complete_{key}", VALUE_AND_CALLS, f"return {value}")
        return FieldCall(
            key=key,
            resolve=self._resolver(type_, field, definition, details[0].node),
            selected=frozenset(self._selected_names(field.type, details)),
            complete=self._code[complete],
        )

    def _resolver(
        self,
        type_: GraphQLObjectType,
        field: GraphQLField,
        definition: StrawberryField,
        node: FieldNode,
    ) -> Resolve:
        if type_ is self._execution.schema.subscription_type:
            return _event
        return resolver(field, definition, node, self._converter, self._literal_index)

    def _selected_names(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Iterable[str]:
        for object_ in possible_types(self._execution.schema, type_):
            fields = self._execution.collect_subfields(object_, details).grouped_field_set
            yield from (field_details[0].node.name.value for field_details in fields.values())

    # Values

    def _completed(
        self, type_: GraphQLOutputType, details: FieldDetailsList, value: str, path: str
    ) -> tuple[str, bool]:
        """Returns the expression that converts a value to one of the response."""
        if isinstance(type_, GraphQLNonNull):
            return self._non_null(type_.of_type, details, value, path)
        name = self._temporary()
        inner, adds_calls = self._non_null(type_, details, name, path)
        return f"None if ({name} := {value}) is None else {inner}", adds_calls

    def _non_null(
        self, type_: Any, details: FieldDetailsList, value: str, path: str
    ) -> tuple[str, bool]:
        if is_list_type(type_):
            return self._list(type_, details, value, path)
        if is_leaf_type(type_):
            return self._leaf(type_, value), False
        if is_abstract_type(type_):
            return self._abstract(type_, details, value, path)
        function, adds_calls = self._object(type_, details)
        return _function_call(function, value, path, adds_calls=adds_calls), adds_calls

    def _list(
        self, type_: GraphQLList[Any], details: FieldDetailsList, value: str, path: str
    ) -> tuple[str, bool]:
        item, index = self._temporary(), self._temporary()
        inner, adds_calls = self._completed(type_.of_type, details, item, f"{path} + ({index},)")
        if adds_calls:
            return f"[({inner}) for {index}, {item} in enumerate(require_list({value}))]", True
        return f"[({inner}) for {item} in require_list({value})]", False

    def _abstract(
        self, type_: Any, details: FieldDetailsList, value: str, path: str
    ) -> tuple[str, bool]:
        """Returns an expression that selects the function by the class of the value."""
        if is_interface_type(type_) and _definition(type_.extensions).resolve_type is not None:
            raise CannotCompile
        functions = {
            _class_of(object_): self._object(object_, details)
            for object_ in possible_types(self._execution.schema, type_)
        }
        any_adds_calls = any(adds_calls for _, adds_calls in functions.values())
        by_class = {
            class_: self._with_call_parameters(name, adds_calls=adds_calls)
            if any_adds_calls
            else self._code[name]
            for class_, (name, adds_calls) in functions.items()
        }
        item = self._temporary()
        function = f"{self._code.name(type_.name, by_class)}[type({item} := {value})]"
        return _function_call(function, item, path, adds_calls=any_adds_calls), any_adds_calls

    def _leaf(self, type_: Any, value: str) -> str:
        """Checks simple types inline; the type converts everything else."""
        complete, check = self._code.name(type_.name, completer(type_)), check_expression(type_)
        if check is None:
            return f"{complete}({value})"
        name = self._temporary()
        return f"{name} if {check.format(f'({name} := {value})', name)} else {complete}({name})"

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"v{self._temporaries}"


def _event(event: Any, *_: object) -> Any:
    """Resolves the root field of a subscription, whose own resolver has opened the stream."""
    return event


def _function_call(function: str, value: str, path: str, *, adds_calls: bool) -> str:
    return f"{function}({value}, run, {path}, pending)" if adds_calls else f"{function}({value})"


def _class_of(type_: GraphQLObjectType) -> Any:
    """Returns the class of a type's values. Raises CannotCompile if the type checks its values itself."""
    definition = _definition(type_.extensions)
    if definition.is_type_of is not None:
        raise CannotCompile
    return definition.origin


def _definition(extensions: dict[str, Any]) -> Any:
    """Returns Strawberry's definition of a type or of a field."""
    if _DEFINITION not in extensions:
        raise CannotCompile
    return extensions[_DEFINITION]
