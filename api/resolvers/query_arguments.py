"""Arguments of queries and subscriptions: versions, and the parsing of texts."""

from collections.abc import Callable
from typing import Annotated, TypeVar
from uuid import UUID

import strawberry

from api.errors import bad_input
from domain.value_parsing import Invalid, parse_identifier

T = TypeVar("T")

MinVersion = Annotated[
    int | None,
    strawberry.argument(
        description="Respond with this version or a newer one: the version in the payload of a mutation."
        " If the read model does not get there in time, the error is READ_MODEL_BEHIND."
    ),
]
AfterVersion = Annotated[
    int | None,
    strawberry.argument(
        description="Begin after this version, the last one you have seen, and not with the present state."
        " If the versions after it are no longer kept, the error is CHANGES_FORGOTTEN."
    ),
]


def parse_argument(name: str, text: str, parse: Callable[[str], T]) -> T:
    """Returns the value of the argument with this GraphQL name. Raises BAD_USER_INPUT."""
    try:
        return parse(text)
    except Invalid as error:
        raise bad_input(name, str(error)) from error


def parse_id_argument(text: str) -> UUID:
    """Returns the value of the argument `id`. Raises BAD_USER_INPUT."""
    return parse_argument("id", text, parse_identifier)


def check_version(argument: str, version: int | None) -> int | None:
    """Returns the version. Raises BAD_USER_INPUT if it is negative."""
    if version is not None and version < 0:
        raise bad_input(argument, "Versions are numbered from 1.")
    return version
