"""The subscriptions of users: the current state first, then every change as it is applied."""

from collections.abc import AsyncGenerator

import strawberry

from api.resolvers import fields
from api.resolvers.changes import changes_of
from api.resolvers.context import Info
from api.resolvers.query_arguments import AfterVersion, MinVersion
from api.schema.users.queries import UserIdArgument
from api.schema.users.types.user_types import User
from domain.users.aggregate import USER
from domain.users.refusals import UserNotFound
from readside.projections import users


@strawberry.type
class Subscription:
    @fields.subscription(
        description="A user as it is now, and again after each change: every version, in order, once."
        " It completes when the user is erased.",
        scope=USER.scope("read"),
    )
    def user_changed(
        self,
        info: Info,
        user_id: UserIdArgument,
        after_version: AfterVersion = None,
        min_version: MinVersion = None,
    ) -> AsyncGenerator[User, None]:
        return changes_of(
            User,
            users.changes,
            info,
            user_id,
            after=after_version,
            min_version=min_version,
            missing=UserNotFound,
        )
