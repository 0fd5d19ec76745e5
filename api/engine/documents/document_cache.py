"""From the text of a request to a document that is parsed and valid, once for each text, or for its shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
)

from api.engine.compiler.plan_cache import PlanSource
from api.engine.cost.field_costs import FieldCosts
from api.engine.cost.operation_cost import CostCalculator, OperationCost
from api.engine.documents.manifest import InvalidManifest
from api.engine.documents.parsing import parse_document
from api.engine.limits.document_size import too_large
from api.engine.limits.introspection import Introspection
from api.engine.literals import (
    Literals,
    QueryTemplate,
    SplitText,
    Values,
    split_literals,
    template_of,
)
from api.engine.lru_cache import LRUCache
from api.engine.operation_type import OperationType
from api.engine.validation.validator import Validator
from api.errors import RequestError, refused, unprocessable

if TYPE_CHECKING:
    from api.limits import Limits


class Operation(NamedTuple):
    """Of a document: what is known of it, or found out once."""

    kind: OperationType
    costs: CostCalculator
    """Those of all operations of the document."""
    plannable: PlanSource

    def amount(self, values: Values) -> OperationCost:
        """Returns its cost, and how many fields the response has."""
        return self.costs.of(self.plannable.name, values)


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedDocument:
    """A text ready to be executed; what texts of one shape share is the same in each."""

    read: Callable[[], DocumentNode]
    """The document of just this text, with the places of what is in it."""
    operations: dict[str | None, Operation]
    public: bool
    """Whether no operation asks for more than the schema, which needs no token."""
    shape: QueryTemplate | None = None
    literals: Literals = ()

    def operation(self, name: str | None) -> Operation:
        """The one that is asked for. Raises OPERATION_RESOLUTION_FAILURE."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        try:
            return self.operations[name]
        except KeyError:
            message = (
                "The document has several operations; say which in operationName."
                if name is None
                else "The document has no operation of the name in operationName."
            )
            raise refused("OPERATION_RESOLUTION_FAILURE", [GraphQLError(message)]) from None

    def values(self, variables: Values) -> Values:
        """These coerced variables, and the literals with them."""
        return {**variables, **dict(enumerate(self.literals))}


class DocumentCache:
    """Parses and validates, and remembers what came of it: the least recently used text goes first.

    Invalid documents are remembered too, because a client that sends one tends to send it again.
    """

    def __init__(
        self, schema: GraphQLSchema, limits: Limits, *, introspection: bool = True
    ) -> None:
        self.hits = 0
        self.misses = 0
        self._schema = schema
        self._limits = limits
        self._prices = FieldCosts(schema, limits.page)
        self._introspection = Introspection(schema)
        self._validation = Validator(
            schema, introspection=introspection, errors=limits.validation_errors
        )
        self._kept: dict[str, PreparedDocument] = {}
        self._known: LRUCache[str, PreparedDocument | RequestError] = LRUCache(
            limits.cached_documents, limits.cached_characters
        )
        self._shapes: dict[str, str] = {}
        """The text that is known of each shape."""

    def keep(self, trusted: Mapping[str, str]) -> None:
        """Prepares these texts, by their hashes, once and for good. Raises BadManifest."""
        for name, text in trusted.items():
            prepared = self._read(text)
            if isinstance(prepared, RequestError):
                raise InvalidManifest(f"The trusted document {name} cannot be executed: {prepared}")
            self._kept[text] = prepared

    def prepare(self, text: str) -> PreparedDocument:
        """The document of this text. Raises GRAPHQL_PARSE_FAILED or GRAPHQL_VALIDATION_FAILED."""
        try:
            return self._looked_up(text)
        except (RequestError, MemoryError):
            raise
        except Exception as error:
            raise unprocessable(error) from None

    def _looked_up(self, text: str) -> PreparedDocument:
        known = self._known.get(text)
        if known is None and text in self._kept:
            self.hits += 1
            return self._kept[text]
        if known is not None:
            self.hits += 1
        else:
            apart = split_literals(text) if len(text) <= self._limits.source_characters else None
            if apart is not None and (alike := self._alike(text, apart)) is not None:
                self.hits += 1
                return alike
            self.misses += 1
            known = self._read(text, apart)
            self._remember(text, known)
        if isinstance(known, RequestError):
            # A new one, because a raised exception gathers its callers.
            raise RequestError(known.errors, status=known.status)
        return known

    def _alike(self, text: str, apart: SplitText) -> PreparedDocument | None:
        """A text that was not seen before, if one was that differs in literals alone."""
        key, literals = apart
        known = self._known.get(self._shapes.get(key, ""))
        if not isinstance(known, PreparedDocument) or known.shape is None:
            return None
        fitted = known.shape.fitted(literals)
        if fitted is None:
            return None
        return replace(known, literals=fitted, read=lambda: self._parse(text))

    def _read(self, text: str, apart: SplitText | None = None) -> PreparedDocument | RequestError:
        if len(text) > self._limits.source_characters:
            return refused("GRAPHQL_PARSE_FAILED", [_too_long(self._limits.source_characters)])
        try:
            return self._found(text, apart)
        except MemoryError:  # of the moment, not of the document
            raise
        except Exception as error:
            return unprocessable(error)

    def _found(self, text: str, apart: SplitText | None) -> PreparedDocument | RequestError:
        """Whatever is raised here, for one text it is raised each time."""
        try:
            document = self._parse(text)
        except GraphQLError as error:
            return refused("GRAPHQL_PARSE_FAILED", [error])
        if errors := self._wrong(document):
            return refused("GRAPHQL_VALIDATION_FAILED", errors)
        shape, literals = template_of(self._schema, document, text, apart) or (None, ())
        nodes, costs = _nodes(document), CostCalculator(self._prices, document, shape)
        places = shape.places if shape else {}
        return PreparedDocument(
            read=lambda: document,
            operations={
                name: Operation(node.operation.value, costs, PlanSource(document, name, places))
                for name, node in nodes.items()
            },
            public=all(_asks_for_the_schema(node.selection_set) for node in nodes.values()),
            shape=shape,
            literals=literals,
        )

    def _parse(self, text: str) -> DocumentNode:
        return parse_document(
            text,
            longest_name=self._limits.name_characters,
            allow_empty_selection_sets=False,
            max_lexical_tokens=self._limits.tokens,
            max_comments=self._limits.comments,
        )

    def _wrong(self, document: DocumentNode) -> list[GraphQLError]:
        return (
            too_large(self._schema, document, self._limits)
            or self._validation.errors(document)
            or list(self._introspection.errors(document))
        )

    def _remember(self, text: str, known: PreparedDocument | RequestError) -> None:
        if len(text) > self._limits.source_characters:
            return  # refused by its length alone, which costs nothing to find out again
        if isinstance(known, PreparedDocument) and known.shape is not None:
            self._shapes[known.shape.key] = text
        for forgotten in self._known.keep(text, known, len(text)):
            self._forget_shape(forgotten)

    def _forget_shape(self, forgotten: PreparedDocument | RequestError) -> None:
        """Unless a text that is still known has it too."""
        shape = forgotten.shape if isinstance(forgotten, PreparedDocument) else None
        if shape is not None and self._shapes.get(shape.key, "") not in self._known:
            self._shapes.pop(shape.key, None)


def _nodes(document: DocumentNode) -> dict[str | None, OperationDefinitionNode]:
    """Of its operations, by their names."""
    return {
        node.name.value if node.name else None: node
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
    }


def _too_long(limit: int) -> GraphQLError:
    return GraphQLError(f"The document is longer than {limit} characters.")


def _asks_for_the_schema(chosen: SelectionSetNode) -> bool:
    """Fragments are not looked into: clients that introspect use none at the top."""
    return all(
        isinstance(node, FieldNode) and node.name.value.startswith("__")
        for node in chosen.selections
    )
