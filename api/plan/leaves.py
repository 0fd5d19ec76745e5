"""What a scalar or an enum looks like in an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import GraphQLEnumType, GraphQLLeafType, Undefined

from api.plan.plan import Irregular


def completer(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    """What makes a value one of the answer, as graphql-core does. Raises whatever the type does, too."""
    if isinstance(type_, GraphQLEnumType) and hasattr(type_, "wrapped_cls"):
        names = {member: type_.coerce_output_value(member) for member in type_.wrapped_cls}
        return names.__getitem__

    def complete(value: Any) -> Any:
        found = type_.coerce_output_value(value)
        if found is None or found is Undefined:
            raise Irregular
        return found

    return complete
