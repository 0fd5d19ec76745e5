"""renameUser: gives a user another name."""

from typing import Annotated

import strawberry

from api.auth.scopes import Scope
from api.resolvers import fields
from api.resolvers.context import Info
from api.schema.users.payload import Payload
from api.schema.users.refusal_types import (
    IdempotencyKeyReused,
    InvalidInput,
    UserNotFound,
    VersionConflict,
)
from api.schema.users.run_command import InputParser, UserCommandInput, run_command
from domain.users import values
from domain.users.commands.rename_user import RenameUser
from domain.users.events import UserId


@strawberry.input(description="The user, and the name it gets.")
class RenameUserInput(UserCommandInput):
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


@fields.mutation(description="Gives a user another name.", scope=Scope.WRITE)
async def rename_user(
    info: Info,
    given: Annotated[
        RenameUserInput,
        strawberry.argument(name="input", description="The user, and the name it gets."),
    ],
) -> RenameUserPayload | None:
    read = InputParser()
    command = RenameUser(
        user_id=UserId(read("userId", given.user_id, values.parse_identifier)),
        name=read("name", given.name, values.parse_name),
        expected_version=given.expected_version,
        idempotency_key=read.key(given),
    )
    return await run_command(info, read, command, RenameUserPayload)
