"""The queries of users. Their resolvers read the read model and nothing else."""

from typing import Annotated

import strawberry

from api.engine.cost.directives import CONNECTION, SCATTERED, SLICED, Cost
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.pagination import (
    PAGE_SIZE,
    After,
    Before,
    First,
    Last,
    page_request,
    page_size,
)
from api.resolvers.query_arguments import (
    MinVersion,
    check_version,
    parse_argument,
    parse_id_argument,
)
from api.resolvers.scalars import EmailAddress
from api.schema.users.types.user_selection import Filter, OrderBy, select_users
from api.schema.users.types.user_types import User, UserConnection, selected_users
from domain.users.aggregate import USER
from domain.users.values import parse_email
from readside.projections import users, users_by_email, users_by_lifetime_value

_READ = USER.scope("read")
_TOP = 10
"""The default of the argument `first` of topCustomers."""

UserIdArgument = Annotated[
    strawberry.ID, strawberry.argument(name="id", description="The user's id.")
]


@strawberry.type
class Query:
    @fields.field(description="The user with this id; null if it does not exist.", scope=_READ)
    async def user(
        self, info: Info, user_id: UserIdArgument, min_version: MinVersion = None
    ) -> User | None:
        parsed_id = parse_id_argument(user_id)
        version = check_version("minVersion", min_version) or 0
        row = await users.fetch(info.context.read_model, parsed_id, min_version=version)
        return None if row is None else User.from_row(row)

    @fields.field(
        "A user by e-mail address, in any letter case; null if it does not exist.",
        Cost(weight="2"),
        SCATTERED,
        scope=_READ,
    )
    async def user_by_email(
        self,
        info: Info,
        email: Annotated[EmailAddress, strawberry.argument(description="The address to look for.")],
    ) -> User | None:
        wanted, read_model = parse_argument("email", email, parse_email), info.context.read_model
        ids = await users_by_email.find(read_model, wanted.key)
        rows = [row for id_ in ids if (row := await users.fetch(read_model, id_)) is not None]
        # Several users may share the key of an address: the one with exactly this address, or the first.
        exact = (row for row in rows if row.email == wanted.address)
        row = next(exact, next(iter(rows), None))
        return None if row is None else User.from_row(row)

    @fields.field(
        "All users, newest first; or those of a filter, or all in another order.",
        CONNECTION,
        SCATTERED,
        scope=_READ,
    )
    async def users(
        self,
        info: Info,
        first: First = PAGE_SIZE,
        after: After = None,
        last: Last = None,
        before: Before = None,
        user_filter: Filter = None,
        order_by: OrderBy = None,
    ) -> UserConnection:
        selection = select_users(user_filter, order_by)
        request = page_request(info, first, after, last, before, selection.parse_cursor)
        return await selected_users(info, selection, request)

    @fields.field(
        "The users with the highest lifetime value, highest first.", SLICED, SCATTERED, scope=_READ
    )
    async def top_customers(self, info: Info, first: First = _TOP) -> list[User]:
        read_model = info.context.read_model
        ids = await users_by_lifetime_value.top(read_model, page_size(info, first, default=_TOP))
        return [User.from_row(row) for row in await users.fetch_many(read_model, ids)]
