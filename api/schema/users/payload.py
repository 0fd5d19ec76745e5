"""The payload of every mutation: id and version right after COMMIT, the user once it can be read."""

from typing import Generic, TypeVar
from uuid import UUID

import strawberry

from api.auth.scopes import Scope
from api.engine.cost.directives import ListSize
from api.resolvers import fields
from api.resolvers.context import Info
from api.schema.users import User
from readside.projections import users

E = TypeVar("E")


@strawberry.type
class Payload(Generic[E]):
    """The fields of every payload; `E` is the union of the command's refusals."""

    id: strawberry.ID | None = strawberry.field(
        default=None, description="The id of what was created or changed; null if refused."
    )
    version: int | None = strawberry.field(
        default=None, description="The user's version now: the minVersion to read your own write."
    )
    errors: list[E] = strawberry.field(
        default_factory=list,
        description="Why the command was refused; empty if it was carried out. Who does not select"
        " this field gets the refusal as a top-level error instead.",
        directives=[ListSize(assumed_size=5)],
    )
    user_id: strawberry.Private[UUID | None] = None

    @fields.field(
        description="The user as the read model has it, at this version or newer. If the read model"
        " cannot answer, this is null with an error, and the command was executed nevertheless.",
        scope=Scope.READ,
    )
    async def user(self, info: Info) -> User | None:
        if self.user_id is None or self.version is None:
            return None
        row = await users.fetch(info.context.read_model, self.user_id, min_version=self.version)
        return None if row is None else User.from_row(row)
