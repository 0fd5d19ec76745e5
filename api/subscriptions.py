"""The push side of the schema: the present state first, then every change as it is applied."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

import strawberry

from api import declare
from api.context import Info
from api.queries import UserIdArgument, user_id_of
from api.shapes import User
from readside.projections import users


@strawberry.type(description="What can be watched.")
class Subscription:
    @declare.subscription(description="A user as it is now, and again after each change.")
    def user_changed(self, info: Info, user_id: UserIdArgument) -> AsyncGenerator[User, None]:
        # Not itself a generator: a bad id is refused before the stream opens.
        return _changes(info, user_id_of(user_id))


async def _changes(info: Info, user_id: UUID) -> AsyncGenerator[User, None]:
    async with aclosing(users.changes(info.context.reads, user_id)) as rows:
        async for row in rows:
            if row is not None:  # not yet created, or erased, which also ends the stream
                yield User.of(row)
