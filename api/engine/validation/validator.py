"""Validates documents by the rules of GraphQL, and by the setting that hides the schema."""

from __future__ import annotations

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    specified_rules,
    validate,
)

from api.engine.validation.fast_validator import FastValidator


class Validator:
    """graphql-core's validation for one schema, skipped for documents that the fast validator recognises."""

    def __init__(self, schema: GraphQLSchema, *, introspection: bool, max_errors: int) -> None:
        self._schema = schema
        self._fast_validator = FastValidator(schema)
        self._max_errors = max_errors
        self._rules = [
            *specified_rules,
            *([] if introspection else [NoSchemaIntrospectionCustomRule]),
        ]

    def errors(self, document: DocumentNode) -> list[GraphQLError]:
        """Returns the errors of a document; the parser must not have read fragment arguments."""
        if self._fast_validator.is_valid(document):
            return []
        return validate(
            self._schema, document, self._rules, max_errors=self._max_errors, hide_suggestions=True
        )
