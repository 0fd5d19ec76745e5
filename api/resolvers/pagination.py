"""Pages of a list: how many items, from where on, and what is said about it."""

import base64
import binascii
from typing import Annotated

import strawberry

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


def page_info(places: list[str], *, more: bool, after: str | None) -> PageInfo:
    """`places` are those of the items of a page, which cursors are made of."""
    return PageInfo(
        has_next_page=more,
        has_previous_page=after is not None,
        start_cursor=cursor(places[0]) if places else None,
        end_cursor=cursor(places[-1]) if places else None,
    )


def page_size(info: Info, first: int) -> int:
    """`first`, if a page may be that long."""
    longest = info.context.limits.page
    if not 1 <= first <= longest:
        raise bad_input("first", f"A page has 1 to {longest} items, not {first}.")
    return first


def cursor(place: str) -> str:
    """An opaque cursor. Nobody should read it, so that it may change."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def place(after: str) -> str:
    """What a cursor of ours says; raises BAD_USER_INPUT for any other text."""
    try:
        padded = after.encode("ascii") + b"=" * (-len(after) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (UnicodeError, binascii.Error) as error:
        raise broken_cursor() from error
    return text


def broken_cursor() -> Exception:
    return bad_input("after", "This is not a cursor of this list; take one from pageInfo or edges.")
