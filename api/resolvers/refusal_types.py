"""The GraphQL types of refusals, derived from their classes in the domain when a mutation names them.

A type has the name, the docstring and the fields of its class; the code becomes a value of ErrorCode.
"""

import enum
from inspect import cleandoc
from typing import Any, get_type_hints

import msgspec
import strawberry
from graphql import GraphQLError
from msgspec.structs import asdict
from strawberry.types.enum import EnumValue, StrawberryEnumDefinition

from domain.refusal import Refusal


class _WithoutMembers(enum.Enum):
    """Resolvers return the codes as strings."""


ERROR_CODES = StrawberryEnumDefinition(
    wrapped_cls=_WithoutMembers,
    name="ErrorCode",
    values=[],
    description="Why a command can be refused.",
)


@strawberry.interface(description="Why a command was refused. Nothing was written.")
class CommandError:
    code: str = strawberry.field(graphql_type=ERROR_CODES, description="The reason, for programs.")
    message: str = strawberry.field(description="The reason, for people.")
    path: list[str] | None = strawberry.field(
        description="The argument it is about, such as input, email; null if it is about none."
    )


_TYPES: dict[type[Refusal], type[CommandError]] = {}


def refusal_type(refusal: type[Refusal], **types: type) -> type[CommandError]:
    """Returns the GraphQL type of a refusal; `types` replaces types of its fields, such as str by an enum.

    Raises TypeError, in one sentence, if the class or one of its fields has no description.
    """
    if refusal not in _TYPES or types:
        own = refusal.__struct_fields__[len(Refusal.__struct_fields__) :]
        hints = get_type_hints(refusal, include_extras=True)
        fields: dict[str, Any] = {
            name: strawberry.field(description=_description(refusal, name, hints[name]))
            for name in own
        }
        annotations = {name: types.get(name, hints[name]) for name in own}
        class_ = type(refusal.__name__, (CommandError,), {**fields, "__annotations__": annotations})
        _TYPES[refusal] = strawberry.type(class_, description=_docstring(refusal))
        ERROR_CODES.values.append(
            EnumValue(refusal.code(), refusal.code(), description=_docstring(refusal))
        )
    return _TYPES[refusal]


def as_data(refusal: Refusal) -> CommandError:
    """Returns the refusal as a member of a payload's `errors`."""
    return _TYPES[type(refusal)](**_details(refusal))


def as_error(refusal: Refusal) -> GraphQLError:
    """Returns the refusal as an exception with the same code, path and details in `extensions`."""
    extensions = _details(refusal)
    return GraphQLError(extensions.pop("message"), extensions=extensions)


def _details(refusal: Refusal) -> dict[str, Any]:
    """Returns the fields of a refusal, with its code; its path begins with the GraphQL argument."""
    path = None if refusal.path is None else ["input", *refusal.path]
    return {"code": refusal.code(), **asdict(refusal), "path": path}


def _docstring(refusal: type[Refusal]) -> str:
    if not refusal.__doc__:
        raise TypeError(
            f"{refusal.__name__} needs a docstring: it is what clients read in the schema."
        )
    return cleandoc(refusal.__doc__).replace("`", "")


def _description(refusal: type[Refusal], field: str, hint: Any) -> str:
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, msgspec.Meta) and mark.description:
            return mark.description
    raise TypeError(
        f"{refusal.__name__}.{field} needs a description for clients:"
        ' Annotated[..., msgspec.Meta(description="...")].'
    )
