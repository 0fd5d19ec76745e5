"""The arguments that select users: a filter or an order, each of which is an index of the read model."""

import enum
from dataclasses import dataclass
from typing import Annotated, Final

import strawberry

from api.errors import bad_input
from api.resolvers.query_arguments import parse_argument
from api.resolvers.scalars import EmailAddress
from domain.users.values import parse_email, parse_name_prefix
from domain.value_parsing import Invalid, parse_identifier
from readside.projections import user_list, users_by_email, users_by_lifetime_value, users_by_name
from readside.queries.id_lists import ID_LENGTH, IdList, members_of


@strawberry.input(description="Which users. Give one field at most.")
class UserFilter:
    name_starts_with: str | None = strawberry.field(
        default=None,
        description="Users whose names start with this text in any letter case, by name as in the order NAME."
        " All users if it is empty.",
    )
    email: EmailAddress | None = strawberry.field(
        default=None, description="Users with this e-mail address in any letter case, newest first."
    )


@strawberry.enum(description="The order of users.")
class UserOrder(enum.Enum):
    CREATED_AT = strawberry.enum_value("CREATED_AT", description="Newest first.")
    NAME = strawberry.enum_value(
        "NAME",
        description="By name in any letter case, in the order of Unicode's characters: Z before Ä."
        " Of the same name the oldest user first.",
    )
    LIFETIME_VALUE = strawberry.enum_value(
        "LIFETIME_VALUE",
        description="Highest lifetime value first; of the same value the newest user first.",
    )


Filter = Annotated[
    UserFilter | None,
    strawberry.argument(name="filter", description="Only some users, instead of orderBy."),
]
OrderBy = Annotated[
    UserOrder | None,
    strawberry.argument(description="The order, instead of filter; null stands for CREATED_AT."),
]


@dataclass(frozen=True, slots=True)
class UserSelection:
    """The users in an index whose members start with a prefix."""

    index: IdList
    tag: str = ""
    """How the cursors of this index begin, so that no other index accepts them."""
    prefix: str = ""

    def cursor_of(self, member: str) -> str:
        """Returns the text of a cursor, which contains what the user is sorted by."""
        return f"{self.tag}{member}"

    def parse_cursor(self, text: str) -> str:
        """Returns the member in a cursor. Raises Invalid if the selection does not have it."""
        key, user_id = text[:-ID_LENGTH], parse_identifier(text[-ID_LENGTH:])
        member = f"{key}{user_id}".removeprefix(self.tag)
        is_keyed = key.startswith(self.tag) and key.endswith("\t") if self.tag else not key
        if not is_keyed or not member.startswith(self.prefix):
            raise Invalid("This is not a member of the selection.")
        return member


_ORDERS: Final = {
    UserOrder.CREATED_AT: UserSelection(user_list.LIST),
    UserOrder.NAME: UserSelection(users_by_name.LIST, "name:"),
    UserOrder.LIFETIME_VALUE: UserSelection(users_by_lifetime_value.LIST, "lifetimeValue:"),
}


def select_users(given: UserFilter | None, order: UserOrder | None) -> UserSelection:
    """Returns the selection of a filter or an order. Raises BAD_USER_INPUT, also for several of them."""
    start, email = (given.name_starts_with, given.email) if given is not None else (None, None)
    if sum(value is not None for value in (start, email, order)) > 1:
        raise bad_input(
            "filter", "Give one of nameStartsWith, email and orderBy: no index has two of them."
        )
    if start is not None:
        prefix = parse_argument("filter.nameStartsWith", start, parse_name_prefix)
        return UserSelection(users_by_name.LIST, "name:", prefix)
    if email is not None:
        key = parse_argument("filter.email", email, parse_email).key
        return UserSelection(users_by_email.LIST, "email:", members_of(key))
    return _ORDERS[order or UserOrder.CREATED_AT]
