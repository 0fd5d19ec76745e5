"""The root type Subscription: the current state first, then every change as it is applied."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import strawberry

from api.auth.scopes import Scope
from api.resolvers import fields
from api.resolvers.context import Info
from api.schema.users import User
from api.schema.users.queries import UserIdArgument, check_version, parse_argument
from domain.users import values
from readside.projections import users

AfterVersion = Annotated[
    int | None,
    strawberry.argument(
        description="Begin behind this version, the last one you have seen, and not with the present state."
        " If the versions behind it are no longer kept, the error is CHANGES_FORGOTTEN."
    ),
]


@strawberry.type(description="What can be watched.")
class Subscription:
    @fields.subscription(
        description="A user as it is now, and again after each change: every version, in order, once."
        " It completes when the user is erased.",
        scope=Scope.READ,
    )
    def user_changed(
        self, info: Info, user_id: UserIdArgument, after_version: AfterVersion = None
    ) -> AsyncGenerator[User, None]:
        # Not an async generator itself: invalid arguments are refused before the stream opens.
        after = check_version("afterVersion", after_version)
        return _changes(info, parse_argument("id", user_id, values.parse_identifier), after)


async def _changes(info: Info, user_id: UUID, after: int | None) -> AsyncGenerator[User, None]:
    async with aclosing(users.changes(info.context.read_model, user_id, after)) as rows:
        async for row in rows:
            if row is not None:  # None: not yet created, or erased, which also ends the stream
                yield User.from_row(row)
