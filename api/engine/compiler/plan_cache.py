"""The plans of a process: made when an operation is asked for again, the least recently used goes first.

An operation that is asked for once is not worth a plan, which costs about as much to make as ten answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from graphql import (
    DirectiveNode,
    DocumentNode,
    Executor,
    GraphQLError,
    VariableNode,
    Visitor,
    get_operation_ast,
    visit,
)

from api.engine.compiler.compiler import compiled
from api.engine.compiler.field_arguments import CannotCompile, LiteralIndex
from api.engine.compiler.plan import NeedsGraphQLCore, Plan
from api.engine.compiler.variables import Variables
from api.engine.literals import Values
from api.engine.lru_cache import LRUCache

if TYPE_CHECKING:
    from graphql import GraphQLSchema
    from strawberry.schema.schema_converter import GraphQLCoreConverter

    from api.limits import Limits

_VARIANTS: Final = 8
"""Plans of one operation: it has another one for each way in which its @skip and @include turn out."""


class PlanMatch(NamedTuple):
    """How one request goes by a plan."""

    plan: Plan
    values: Values


class PlanSource:
    """An operation, and what is looked up once for all its plans."""

    def __init__(self, document: DocumentNode, name: str | None, places: LiteralIndex) -> None:
        """`places` are those of the literals that vary between the requests."""
        self.document = document
        self.name = name
        self.places = places
        self.variables: Variables | None = None
        """None until somebody asks for it a second time."""
        self.switches: tuple[str, ...] = ()
        """The variables on which @skip and @include depend."""
        self.variants: set[tuple[object, ...]] = set()
        self._asked = False

    def look(self, schema: GraphQLSchema) -> None:
        """Finds out what its plans need, when it is asked for a second time."""
        if self._asked:
            node = get_operation_ast(self.document, self.name)
            assert node is not None
            found = _Switches()
            visit(self.document, found)
            self.switches = tuple(found.names)
            self.variables = Variables(schema, node)
        self._asked = True


_Key = tuple[Variables, tuple[object, ...]]
"""Whose variables, and how they stand. The operation itself would keep its document from being forgotten."""


class PlanCache:
    """Finds plans, and remembers them."""

    def __init__(
        self, schema: GraphQLSchema, converter: GraphQLCoreConverter, limits: Limits
    ) -> None:
        self._schema = schema
        self._converter = converter
        self._known: LRUCache[_Key, tuple[Plan | None]] = LRUCache(
            limits.plans, limits.plan_characters
        )

    def find(
        self, operation: PlanSource, variables: Mapping[str, Any], literals: Sequence[Any] = ()
    ) -> PlanMatch | None:
        """The plan for a request; None if graphql-core is to execute it, or to say what is wrong with it."""
        if operation.variables is None:
            operation.look(self._schema)
        if operation.variables is None:
            return None
        try:
            values = operation.variables.coerced(variables)
        except NeedsGraphQLCore:
            return None
        values.update(enumerate(literals))
        key = operation.variables, tuple([values.get(switch) for switch in operation.switches])
        [plan] = self._known.get(key) or self._new(operation, key, variables)
        return None if plan is None else PlanMatch(plan, values)

    def _new(
        self, operation: PlanSource, key: _Key, variables: Mapping[str, Any]
    ) -> tuple[Plan | None]:
        _, variant = key
        if variant not in operation.variants and len(operation.variants) >= _VARIANTS:
            return (None,)
        operation.variants.add(variant)
        plan = self._compiled(operation, variables)
        self._known.keep(key, (plan,), 0 if plan is None else len(plan.source))
        return (plan,)

    def _compiled(self, operation: PlanSource, variables: Mapping[str, Any]) -> Plan | None:
        """None if it has none: some that can be read are too deep to be compiled."""
        try:
            execution = Executor.build(
                self._schema,
                operation.document,
                operation_name=operation.name,
                raw_variable_values=dict(variables),
            )
            if isinstance(execution, list):
                return None
            return compiled(execution, self._converter, operation.places)
        except (CannotCompile, GraphQLError, RecursionError):
            return None


class _Switches(Visitor):
    """The variables in the directives of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                self.names[argument.value.name.value] = None
