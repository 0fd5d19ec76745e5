"""The plans of a process, compiled when an operation is requested a second time, in an LRU cache.

An operation that is requested once is not worth a plan, which takes about the time of ten executions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from graphql import (
    DirectiveNode,
    DocumentNode,
    Executor,
    GraphQLError,
    GraphQLSchema,
    VariableNode,
    Visitor,
    get_operation_ast,
    visit,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from api.engine.compiler.compiler import compile_plan
from api.engine.compiler.field_arguments import CannotCompile
from api.engine.compiler.plan import NeedsGraphQLCore, Plan
from api.engine.compiler.variables import Variables
from api.engine.literals import LiteralIndex, Values
from api.engine.lru_cache import LRUCache
from api.limits import Limits

_MAX_VARIANTS: Final = 8
"""Plans of one operation, one for each combination of its @skip and @include conditions."""


class PlanMatch(NamedTuple):
    """A plan and the values with which it runs for a request."""

    plan: Plan
    values: Values


class PlanSource:
    """An operation, and what is looked up once for all its plans."""

    def __init__(
        self, document: DocumentNode, name: str | None, literal_index: LiteralIndex
    ) -> None:
        self.document = document
        self.name = name
        self.literal_index = literal_index
        self.variables: Variables | None = None
        """None until the operation is requested a second time."""
        self.conditions: tuple[str, ...] = ()
        """The variables on which @skip and @include depend."""
        self.variants: set[tuple[object, ...]] = set()
        self._requested = False

    def count_request(self, schema: GraphQLSchema) -> None:
        """Looks up the variables and the conditions at the second request."""
        if self._requested:
            node = get_operation_ast(self.document, self.name)
            assert node is not None
            visitor = _ConditionVisitor()
            visit(self.document, visitor)
            self.conditions = tuple(visitor.names)
            self.variables = Variables(schema, node)
        self._requested = True


_Key = tuple[Variables, tuple[object, ...]]
"""The variables of an operation (itself, it would keep its document alive), and its conditions' values."""


class PlanCache:
    """Finds or compiles plans."""

    def __init__(
        self, schema: GraphQLSchema, converter: GraphQLCoreConverter, limits: Limits
    ) -> None:
        self._schema = schema
        self._converter = converter
        self._plans: LRUCache[_Key, tuple[Plan | None]] = LRUCache(
            limits.plans, limits.plan_characters
        )

    def find(
        self, source: PlanSource, variables: Mapping[str, Any], literals: Sequence[Any] = ()
    ) -> PlanMatch | None:
        """Returns the plan for a request; None if graphql-core must execute it, or word its error."""
        if source.variables is None:
            source.count_request(self._schema)
        if source.variables is None:
            return None
        try:
            values = source.variables.coerce(variables)
        except NeedsGraphQLCore:
            return None
        values.update(enumerate(literals))
        key = source.variables, tuple([values.get(name) for name in source.conditions])
        [plan] = self._plans.get(key) or self._add(source, key, variables)
        return None if plan is None else PlanMatch(plan, values)

    def _add(
        self, source: PlanSource, key: _Key, variables: Mapping[str, Any]
    ) -> tuple[Plan | None]:
        _, variant = key
        if variant not in source.variants and len(source.variants) >= _MAX_VARIANTS:
            return (None,)
        source.variants.add(variant)
        plan = self._compile(source, variables)
        self._plans.put(key, (plan,), 0 if plan is None else len(plan.source))
        return (plan,)

    def _compile(self, source: PlanSource, variables: Mapping[str, Any]) -> Plan | None:
        """Returns None if the operation cannot be compiled: some that parse are nested too deeply."""
        try:
            execution = Executor.build(
                self._schema,
                source.document,
                operation_name=source.name,
                raw_variable_values=dict(variables),
            )
            if isinstance(execution, list):
                return None
            return compile_plan(execution, self._converter, source.literal_index)
        except (CannotCompile, GraphQLError, RecursionError):
            return None


class _ConditionVisitor(Visitor):
    """Collects the variables in the directives of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                self.names[argument.value.name.value] = None
