"""Cursor pagination: page sizes, opaque cursors, and PageInfo."""

import base64
import binascii
from typing import Annotated

import strawberry
from graphql import GraphQLError

from api.errors import bad_input
from api.resolvers.context import Info

First = Annotated[int, strawberry.argument(description="How many at most, 1 to 100.")]
After = Annotated[
    str | None, strawberry.argument(description="The cursor after which the page begins.")
]


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there is more after this page.")
    has_previous_page: bool = strawberry.field(description="Whether this page has one before it.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first item.")
    end_cursor: str | None = strawberry.field(description="The cursor of the page's last item.")


def page_info(positions: list[str], *, more: bool, after: str | None) -> PageInfo:
    """Returns the PageInfo of a page; `positions` of its items are encoded as cursors."""
    return PageInfo(
        has_next_page=more,
        has_previous_page=after is not None,
        start_cursor=encode_cursor(positions[0]) if positions else None,
        end_cursor=encode_cursor(positions[-1]) if positions else None,
    )


def page_size(info: Info, first: int) -> int:
    """Returns `first`. Raises BAD_USER_INPUT if a page may not be that long."""
    limit = info.context.max_page_size
    if not 1 <= first <= limit:
        raise bad_input("first", f"A page has 1 to {limit} items, not {first}.")
    return first


def encode_cursor(position: str) -> str:
    """Returns an opaque cursor. Base64 discourages clients from reading it, so its content may change."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """Returns the position. Raises BAD_USER_INPUT for a text that is not a cursor of this service."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (UnicodeError, binascii.Error) as error:
        raise invalid_cursor() from error


def invalid_cursor() -> GraphQLError:
    return bad_input("after", "This is not a cursor of this list; take one from pageInfo or edges.")
