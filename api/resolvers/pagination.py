"""Cursor pagination: the arguments of a page, opaque cursors, and PageInfo."""

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import strawberry
from graphql import GraphQLError

from api.errors import bad_input
from api.resolvers.context import Info
from domain.value_parsing import Invalid
from readside.queries.page_request import PageRequest

P = TypeVar("P")


class DefaultSize(int):
    """The default of the argument `first`; its type tells it from the same number sent by a client."""


_MAX_CURSOR: Final = 8_000
"""Characters of a cursor, more than any has: its position is sent to each partition."""

PAGE_SIZE: Final = DefaultSize(20)
"""The default of the argument `first` of connections."""

First = Annotated[
    int | None,
    strawberry.argument(description="How many at most, 1 to 100; null stands for the default."),
]
Last = Annotated[
    int | None,
    strawberry.argument(description="How many at most from the end, 1 to 100, instead of first."),
]
After = Annotated[
    str | None, strawberry.argument(description="The cursor after which the page begins.")
]
Before = Annotated[
    str | None, strawberry.argument(description="The cursor before which the page ends.")
]


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there is more after this page.")
    has_previous_page: bool = strawberry.field(description="Whether this page has one before it.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first item.")
    end_cursor: str | None = strawberry.field(description="The cursor of the page's last item.")


def page_request(
    info: Info,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
    parse: Callable[[str], P],
) -> PageRequest[P]:
    """Returns the page that these arguments request; `parse` converts the position in a cursor.

    Raises BAD_USER_INPUT, also for `first` and `last` together.
    """
    if last is not None and first is not None and not isinstance(first, DefaultSize):
        raise bad_input("last", "Give first or last, not both.")
    return PageRequest(
        page_size(info, first) if last is None else page_size(info, last, "last"),
        None if after is None else _position("after", after, parse),
        None if before is None else _position("before", before, parse),
        backward=last is not None,
    )


def page_info(request: PageRequest[P], positions: list[str], *, more: bool) -> PageInfo:
    """Returns the PageInfo of a page; `positions` of its items are encoded as cursors."""
    return PageInfo(
        has_next_page=request.before is not None if request.backward else more,
        has_previous_page=more if request.backward else request.after is not None,
        start_cursor=encode_cursor(positions[0]) if positions else None,
        end_cursor=encode_cursor(positions[-1]) if positions else None,
    )


def page_size(
    info: Info, given: int | None, argument: str = "first", default: int = PAGE_SIZE
) -> int:
    """Returns the number of items that an argument requests. Raises BAD_USER_INPUT if they are too many."""
    size, limit = default if given is None else given, info.context.max_page_size
    if not 1 <= size <= limit:
        raise bad_input(argument, f"A page has 1 to {limit} items, not {size}.")
    return size


def encode_cursor(position: str) -> str:
    """Returns an opaque cursor. Base64 discourages clients from reading it, so its content may change."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _position(argument: str, cursor: str, parse: Callable[[str], P]) -> P:
    """Returns the position in a cursor. Raises BAD_USER_INPUT for a text that is no cursor of the list."""
    if len(cursor) > _MAX_CURSOR:
        raise _invalid_cursor(argument)
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return parse(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
    except (UnicodeError, binascii.Error, Invalid) as error:
        raise _invalid_cursor(argument) from error


def _invalid_cursor(argument: str) -> GraphQLError:
    return bad_input(
        argument, "This is not a cursor of this list; take one from pageInfo or edges."
    )
