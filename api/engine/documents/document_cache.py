"""Parses and validates each document once, and caches it by its text, or by its query template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

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
from api.engine.limits.document_size import size_errors
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
from api.limits import Limits


class Operation(NamedTuple):
    """An operation of a cached document."""

    type: OperationType
    costs: CostCalculator
    """Shared by all operations of the document."""
    plan_source: PlanSource

    def cost(self, values: Values) -> OperationCost:
        """Returns the cost of the operation, and the number of fields in its response."""
        return self.costs.cost(self.plan_source.name, values)


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedDocument:
    """A parsed and valid document. Documents of one template share everything but `parse` and `literals`."""

    parse: Callable[[], DocumentNode]
    """Returns the document with the source positions of this very text."""
    operations: dict[str | None, Operation]
    public: bool
    """Whether all operations are introspection alone, which needs no token."""
    template: QueryTemplate | None = None
    literals: Literals = ()

    def operation(self, name: str | None) -> Operation:
        """Returns the operation of this name. Raises OPERATION_RESOLUTION_FAILURE."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        try:
            return self.operations[name]
        except KeyError:
            message = (
                "The document has several operations; name one in operationName."
                if name is None
                else "The document has no operation of the name in operationName."
            )
            raise refused("OPERATION_RESOLUTION_FAILURE", [GraphQLError(message)]) from None

    def values(self, variables: Values) -> Values:
        """Returns these coerced variables together with the literals."""
        return {**variables, **dict(enumerate(self.literals))}


class DocumentCache:
    """An LRU cache of documents, invalid ones too, which clients repeat; trusted ones are never evicted."""

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        *,
        introspection: bool = True,
        partitions: int = 1,
    ) -> None:
        self.hits = 0
        self.misses = 0
        self.parsed = 0
        """Characters of the texts that were parsed."""
        self._schema = schema
        self._limits = limits
        self._field_costs = FieldCosts(schema, limits.page, partitions)
        self._introspection = Introspection(schema)
        self._validator = Validator(
            schema, introspection=introspection, max_errors=limits.validation_errors
        )
        self._trusted: dict[str, PreparedDocument] = {}
        self._cached: LRUCache[str, PreparedDocument | RequestError] = LRUCache(
            limits.cached_documents, limits.cached_characters
        )
        self._text_by_template: dict[str, str] = {}
        """A cached text for the key of each template."""

    def preload(self, trusted: Mapping[str, str]) -> None:
        """Prepares texts, given by their hashes, permanently. Raises InvalidManifest."""
        for hash_, text in trusted.items():
            document = self._prepare(text)
            if isinstance(document, RequestError):
                raise InvalidManifest(
                    f"The trusted document {hash_} cannot be executed: {document}"
                )
            self._trusted[text] = document

    def get(self, text: str) -> PreparedDocument:
        """Returns the document of a text. Raises GRAPHQL_PARSE_FAILED or GRAPHQL_VALIDATION_FAILED."""
        try:
            return self._get(text)
        except (RequestError, MemoryError):
            raise
        except Exception as error:
            raise unprocessable(error) from None

    def _get(self, text: str) -> PreparedDocument:
        document = self._cached.get(text)
        if document is None and text in self._trusted:
            self.hits += 1
            return self._trusted[text]
        if document is not None:
            self.hits += 1
        else:
            split = split_literals(text) if len(text) <= self._limits.source_characters else None
            if split is not None and (similar := self._by_template(text, split)) is not None:
                self.hits += 1
                return similar
            self.misses += 1
            document = self._prepare(text, split)
            self._store(text, document)
        if isinstance(document, RequestError):
            # A copy, because a raised exception gathers a traceback.
            raise RequestError(document.errors, status=document.status)
        return document

    def _by_template(self, text: str, split: SplitText) -> PreparedDocument | None:
        """Returns the document of a new text that differs from a cached one in literals alone."""
        key, literals = split
        document = self._cached.get(self._text_by_template.get(key, ""))
        if not isinstance(document, PreparedDocument) or document.template is None:
            return None
        coerced = document.template.coerce(literals)
        if coerced is None:
            return None
        return replace(document, literals=coerced, parse=lambda: self._parse(text))

    def _prepare(
        self, text: str, split: SplitText | None = None
    ) -> PreparedDocument | RequestError:
        if len(text) > (limit := self._limits.source_characters):
            too_long = GraphQLError(f"The document is longer than {limit} characters.")
            return refused("GRAPHQL_PARSE_FAILED", [too_long])
        try:
            return self._parse_and_validate(text, split)
        except MemoryError:  # depends on the moment, not on the document
            raise
        except Exception as error:
            return unprocessable(error)

    def _parse_and_validate(
        self, text: str, split: SplitText | None
    ) -> PreparedDocument | RequestError:
        """Deterministic: an exception for a text is raised each time, so the refusal may be cached."""
        try:
            document = self._parse(text)
        except GraphQLError as error:
            return refused("GRAPHQL_PARSE_FAILED", [error])
        if errors := self._errors(document):
            return refused("GRAPHQL_VALIDATION_FAILED", errors)
        template, literals = template_of(self._schema, document, text, split) or (None, ())
        nodes = _operations(document)
        costs = CostCalculator(self._field_costs, document, template)
        index = template.literal_index if template else {}
        return PreparedDocument(
            parse=lambda: document,
            operations={
                name: Operation(node.operation.value, costs, PlanSource(document, name, index))
                for name, node in nodes.items()
            },
            public=all(_is_introspection(node.selection_set) for node in nodes.values()),
            template=template,
            literals=literals,
        )

    def _parse(self, text: str) -> DocumentNode:
        self.parsed += len(text)
        return parse_document(
            text,
            max_name_length=self._limits.name_characters,
            allow_empty_selection_sets=False,
            max_lexical_tokens=self._limits.tokens,
            max_comments=self._limits.comments,
        )

    def _errors(self, document: DocumentNode) -> list[GraphQLError]:
        return (
            size_errors(self._schema, document, self._limits)
            or self._validator.errors(document)
            or list(self._introspection.errors(document))
        )

    def _store(self, text: str, document: PreparedDocument | RequestError) -> None:
        if len(text) > self._limits.source_characters:
            return  # refused for its length alone, which is cheap to check again
        if isinstance(document, PreparedDocument) and document.template is not None:
            self._text_by_template[document.template.key] = text
        for evicted in self._cached.put(text, document, len(text)):
            self._remove_template(evicted)

    def _remove_template(self, evicted: PreparedDocument | RequestError) -> None:
        """Removes the template of an evicted document, unless a cached text has it too."""
        template = evicted.template if isinstance(evicted, PreparedDocument) else None
        if template is None or self._text_by_template.get(template.key, "") in self._cached:
            return
        self._text_by_template.pop(template.key, None)


def _operations(document: DocumentNode) -> dict[str | None, OperationDefinitionNode]:
    return {
        node.name.value if node.name else None: node
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
    }


def _is_introspection(selected: SelectionSetNode) -> bool:
    """Returns whether all fields are introspection. Does not follow fragments: tools use none at the root."""
    return all(
        isinstance(node, FieldNode)
        and (node.name.value.startswith("__") or node.name.value == "_service")  # of a subgraph
        for node in selected.selections
    )
