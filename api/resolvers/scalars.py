"""Custom scalars: values that are strings in requests and responses."""

from typing import NewType

import strawberry
from graphql import GraphQLError, StringValueNode, ValueNode
from strawberry.types.scalar import ScalarDefinition

DateTime = NewType("DateTime", str)
EmailAddress = NewType("EmailAddress", str)
Money = NewType("Money", str)


def _text(value: object) -> str:
    """Returns the string; a resolver parses it later."""
    if not isinstance(value, str):
        raise GraphQLError("This must be a string.")
    return value


def _literal(node: ValueNode, _variables: object = None) -> str:
    return _text(node.value if isinstance(node, StringValueNode) else None)


Scalars = dict[object, ScalarDefinition]

SCALARS: Scalars = {
    DateTime: strawberry.scalar(
        name="DateTime",
        description="A point in time, as RFC 3339 writes it: UTC, in milliseconds, ending in Z.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
    ),
    EmailAddress: strawberry.scalar(
        name="EmailAddress",
        description="An e-mail address. Blanks around it are removed. Two that differ in letter case alone"
        " are the same address.",
        parse_value=_text,
        parse_literal=_literal,
    ),
    Money: strawberry.scalar(
        name="Money",
        description='An exact amount: a decimal string with at most two places, such as "12.50".'
        " Never a number, because numbers round.",
        parse_value=_text,
        parse_literal=_literal,
    ),
}
