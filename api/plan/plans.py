"""The plans of a process: made when an operation is asked for again, the least recently used goes first.

An operation that is asked for once is not worth a plan, which costs about as much to make as ten answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

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

from api.plan.compile import compiled
from api.plan.plan import Irregular, Plan, Values
from api.plan.values import Places, Unplannable
from api.plan.variables import Variables
from api.recent import Recent

if TYPE_CHECKING:
    from graphql import GraphQLSchema
    from strawberry.schema.schema_converter import GraphQLCoreConverter

    from api.limits import Limits

_VARIANTS: Final = 8
"""Plans of one operation: it has another one for each way in which its @skip and @include turn out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """How one request goes by a plan."""

    plan: Plan
    values: Values


class Operations:
    """The operations of one document."""

    def __init__(self, document: DocumentNode, places: Places) -> None:
        """`places` are those of the literals that vary between the requests."""
        self.document = document
        self.places = places
        self.asked: dict[str | None, Operation | None] = {}
        """None stands for once."""


class Operation:
    """What is looked up once for all plans of an operation."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, name: str | None) -> None:
        node = get_operation_ast(document, name)
        assert node is not None
        found = _Switches()
        visit(document, found)
        self.variables = Variables(schema, node)
        self.switches = tuple(found.names)
        """The variables on which @skip and @include depend."""
        self.variants: set[tuple[object, ...]] = set()


_Key = tuple[Operation, tuple[object, ...]]


class Plans:
    """Finds plans, and remembers them."""

    def __init__(
        self, schema: GraphQLSchema, converter: GraphQLCoreConverter, limits: Limits
    ) -> None:
        self._schema = schema
        self._converter = converter
        self._known: Recent[_Key, tuple[Plan | None]] = Recent(limits.plans, limits.plan_characters)

    def find(
        self,
        operations: Operations,
        name: str | None,
        variables: Mapping[str, Any],
        literals: Sequence[Any] = (),
    ) -> Planned | None:
        """The plan for a request; None if graphql-core is to execute it, or to say what is wrong with it."""
        operation = self._operation(operations, name)
        if operation is None:
            return None
        try:
            values = operation.variables.coerced(variables)
        except Irregular:
            return None
        values.update(enumerate(literals))
        variant = tuple([values.get(switch) for switch in operation.switches])
        plan = self._plan(operations, name, variables, (operation, variant))
        return None if plan is None else Planned(plan=plan, values=values)

    def _operation(self, operations: Operations, name: str | None) -> Operation | None:
        known = operations.asked.get(name)
        if known is None:
            if name in operations.asked:
                known = Operation(self._schema, operations.document, name)
            operations.asked[name] = known
        return known

    def _plan(
        self, operations: Operations, name: str | None, variables: Mapping[str, Any], key: _Key
    ) -> Plan | None:
        if (known := self._known.get(key)) is not None:
            return known[0]
        operation, variant = key
        if variant not in operation.variants and len(operation.variants) >= _VARIANTS:
            return None
        operation.variants.add(variant)
        plan = self._compiled(operations, name, variables)
        self._known.keep(key, (plan,), 0 if plan is None else len(plan.source))
        return plan

    def _compiled(
        self, operations: Operations, name: str | None, variables: Mapping[str, Any]
    ) -> Plan | None:
        """None if it has none: some that can be read are too deep to be compiled."""
        try:
            execution = Executor.build(
                self._schema,
                operations.document,
                operation_name=name,
                raw_variable_values=dict(variables),
            )
            if isinstance(execution, list):
                return None
            return compiled(execution, self._converter, operations.places)
        except (Unplannable, GraphQLError, RecursionError):
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
