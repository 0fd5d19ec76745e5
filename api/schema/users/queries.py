"""The query side of the schema: every answer comes from the read model, and only from there."""

from typing import Annotated
from uuid import UUID

import strawberry

from api.auth.scopes import Scope
from api.engine.cost.directives import CONNECTION, SLICED, Cost
from api.errors import bad_input
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.pagination import After, First, page_size
from api.resolvers.scalars import EmailAddress
from api.schema.users import User, UserConnection
from api.schema.users.user_types import all_users
from domain.users import values
from readside.projections import top_customers as customers
from readside.projections import users, users_by_email

UserIdArgument = Annotated[
    strawberry.ID, strawberry.argument(name="id", description="The user's id.")
]
MinVersion = Annotated[
    int | None,
    strawberry.argument(
        description="Answer with this version of the user or a newer one: what a mutation answered."
        " If the read model does not get there in time, the error is READ_MODEL_BEHIND."
    ),
]


@strawberry.type(description="What can be asked. Answered from the read model.")
class Query:
    @fields.field(description="A user by id; null if there is none.", scope=Scope.READ)
    async def user(
        self, info: Info, user_id: UserIdArgument, min_version: MinVersion = None
    ) -> User | None:
        wanted, version = user_id_of(user_id), _at_least(min_version)
        return _shown(await users.fetch(info.context.reads, wanted, min_version=version))

    @fields.field(
        "A user by e-mail address, in any letter case; null if there is none.",
        Cost(weight="2"),
        scope=Scope.READ,
    )
    async def user_by_email(
        self,
        info: Info,
        email: Annotated[EmailAddress, strawberry.argument(description="The address to look for.")],
    ) -> User | None:
        address, reads = _email(email), info.context.reads
        found = [
            await users.fetch(reads, one) for one in await users_by_email.find(reads, address.key)
        ]
        return _shown(_of(address, [row for row in found if row is not None]))

    @fields.field("All users, newest first.", CONNECTION, scope=Scope.READ)
    async def users(self, info: Info, first: First = 20, after: After = None) -> UserConnection:
        return await all_users(info, first, after)

    @fields.field(
        "The users with the highest lifetime value, highest first.", SLICED, scope=Scope.READ
    )
    async def top_customers(self, info: Info, first: First = 10) -> list[User]:
        found = await customers.top(info.context.reads, page_size(info, first))
        return [User.of(row) for row in await users.fetch_many(info.context.reads, found)]


def user_id_of(text: str) -> UUID:
    """The id of a user, as an argument named `id`."""
    try:
        return values.parse_identifier(text)
    except values.Invalid as error:
        raise bad_input("id", str(error)) from error


def _shown(row: users.UserRow | None) -> User | None:
    return None if row is None else User.of(row)


def _of(address: values.Email, found: list[users.UserRow]) -> users.UserRow | None:
    """Returns the user with this very address, or else the first of those that share its key."""
    exact = (row for row in found if row.email == address.address)
    return next(exact, next(iter(found), None))


def _email(email: str) -> values.Email:
    try:
        return values.parse_email(email)
    except values.Invalid as error:
        raise bad_input("email", str(error)) from error


def _at_least(min_version: int | None) -> int:
    if min_version is not None and min_version < 0:
        raise bad_input("minVersion", "Versions are numbered from 1.")
    return min_version or 0
