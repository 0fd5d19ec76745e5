"""updateUserEmail: gives a user another e-mail address."""

from typing import Annotated

import strawberry

from api.auth.scopes import Scope
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.scalars import EmailAddress
from api.schema.users.payload import Payload
from api.schema.users.refusal_types import (
    EmailAlreadyRegistered,
    IdempotencyKeyReused,
    InvalidInput,
    UserNotFound,
    VersionConflict,
)
from api.schema.users.run_command import InputParser, UserCommandInput, run_command
from domain.users import values
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.events import UserId


@strawberry.input(description="The user, and the address it gets.")
class UpdateUserEmailInput(UserCommandInput):
    email: EmailAddress = strawberry.field(description="Where mail reaches the user.")


UpdateUserEmailError = Annotated[
    InvalidInput | UserNotFound | EmailAlreadyRegistered | VersionConflict | IdempotencyKeyReused,
    strawberry.union("UpdateUserEmailError", description="Why updateUserEmail can be refused."),
]


@strawberry.type(description="What updateUserEmail answers.")
class UpdateUserEmailPayload(Payload[UpdateUserEmailError]):
    pass


@fields.mutation(description="Gives a user another e-mail address.", scope=Scope.WRITE)
async def update_user_email(
    info: Info,
    given: Annotated[
        UpdateUserEmailInput,
        strawberry.argument(name="input", description="The user, and the address it gets."),
    ],
) -> UpdateUserEmailPayload | None:
    read = InputParser()
    command = UpdateUserEmail(
        user_id=UserId(read("userId", given.user_id, values.parse_identifier)),
        email=read("email", given.email, values.parse_email),
        expected_version=given.expected_version,
        idempotency_key=read.key(given),
    )
    return await run_command(info, read, command, UpdateUserEmailPayload)
