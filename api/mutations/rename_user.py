"""renameUser: gives a user another name."""

from typing import Annotated

import strawberry

from api import declare
from api.access.scopes import Scope
from api.context import Info
from api.mutations.carry_out import AboutUser, Reading, carry_out
from api.payload import Payload
from api.refusals import IdempotencyKeyReused, InvalidInput, UserNotFound, VersionConflict
from domain import values
from domain.commands.rename_user import RenameUser
from domain.events import UserId


@strawberry.input(description="The user, and the name it gets.")
class RenameUserInput(AboutUser):
    name: str = strawberry.field(
        description="What the user is called: 1 to 100 characters, at least one of them visible, none that"
        " reorders or hides text. Blanks around it are removed."
    )


RenameUserError = Annotated[
    InvalidInput | UserNotFound | VersionConflict | IdempotencyKeyReused,
    strawberry.union("RenameUserError", description="Why renameUser can be refused."),
]


@strawberry.type(description="What renameUser answers.")
class RenameUserPayload(Payload[RenameUserError]):
    pass


@declare.mutation(description="Gives a user another name.", scope=Scope.WRITE)
async def rename_user(
    info: Info,
    given: Annotated[
        RenameUserInput,
        strawberry.argument(name="input", description="The user, and the name it gets."),
    ],
) -> RenameUserPayload | None:
    read = Reading()
    command = RenameUser(
        user_id=UserId(read("userId", given.user_id, values.identifier)),
        name=read("name", given.name, values.name),
        expected_version=given.expected_version,
        idempotency_key=read.key(given),
    )
    return await carry_out(info, read, command, RenameUserPayload)
