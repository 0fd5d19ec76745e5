"""The root type Query. Its resolvers read the read model and nothing else."""

from collections.abc import Callable
from typing import Annotated, TypeVar

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
from readside.projections import top_customers, users, users_by_email

T = TypeVar("T")

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
    @fields.field(description="The user with this id; null if it does not exist.", scope=Scope.READ)
    async def user(
        self, info: Info, user_id: UserIdArgument, min_version: MinVersion = None
    ) -> User | None:
        parsed_id = parse_argument("id", user_id, values.parse_identifier)
        version = check_version("minVersion", min_version) or 0
        row = await users.fetch(info.context.read_model, parsed_id, min_version=version)
        return None if row is None else User.from_row(row)

    @fields.field(
        "A user by e-mail address, in any letter case; null if it does not exist.",
        Cost(weight="2"),
        scope=Scope.READ,
    )
    async def user_by_email(
        self,
        info: Info,
        email: Annotated[EmailAddress, strawberry.argument(description="The address to look for.")],
    ) -> User | None:
        address = parse_argument("email", email, values.parse_email)
        return await _user_by_email(info, address)

    @fields.field("All users, newest first.", CONNECTION, scope=Scope.READ)
    async def users(self, info: Info, first: First = 20, after: After = None) -> UserConnection:
        return await all_users(info, first, after)

    @fields.field(
        "The users with the highest lifetime value, highest first.", SLICED, scope=Scope.READ
    )
    async def top_customers(self, info: Info, first: First = 10) -> list[User]:
        read_model = info.context.read_model
        ids = await top_customers.top(read_model, page_size(info, first))
        return [User.from_row(row) for row in await users.fetch_many(read_model, ids)]


def parse_argument(name: str, text: str, parse: Callable[[str], T]) -> T:
    """Returns the value of the argument with this GraphQL name. Raises BAD_USER_INPUT."""
    try:
        return parse(text)
    except values.Invalid as error:
        raise bad_input(name, str(error)) from error


def check_version(argument: str, version: int | None) -> int | None:
    """Returns the version. Raises BAD_USER_INPUT if it is negative."""
    if version is not None and version < 0:
        raise bad_input(argument, "Versions are numbered from 1.")
    return version


async def _user_by_email(info: Info, email: values.Email) -> User | None:
    """Returns the user with exactly this address, or else the first of those that share its key."""
    read_model = info.context.read_model
    ids = await users_by_email.find(read_model, email.key)
    rows = [row for id_ in ids if (row := await users.fetch(read_model, id_)) is not None]
    exact = (row for row in rows if row.email == email.address)
    row = next(exact, next(iter(rows), None))
    return None if row is None else User.from_row(row)
