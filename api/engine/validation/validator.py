"""What is wrong with a document by the rules of GraphQL, and by a setting that keeps the schema secret."""

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
    """graphql-core's for one schema, saved for documents that are plainly valid."""

    def __init__(self, schema: GraphQLSchema, *, introspection: bool, errors: int) -> None:
        """`errors`: how many mistakes are told at most."""
        self._schema = schema
        self._plain = FastValidator(schema)
        self._most = errors
        self._rules = [
            *specified_rules,
            *([] if introspection else [NoSchemaIntrospectionCustomRule]),
        ]

    def errors(self, document: DocumentNode) -> list[GraphQLError]:
        """Of a document without fragment arguments, which the parser does not read. None if it is valid."""
        if self._plain.valid(document):
            return []
        return validate(
            self._schema, document, self._rules, max_errors=self._most, hide_suggestions=True
        )
