"""updateUserEmail: gives a user another e-mail address."""

from typing import Annotated

import strawberry

from api import declare
from api.access.scopes import Scope
from api.context import Info
from api.mutations.carry_out import AboutUser, Reading, carry_out
from api.payload import Payload
from api.refusals import (
    EmailAlreadyRegistered,
    IdempotencyKeyReused,
    InvalidInput,
    UserNotFound,
    VersionConflict,
)
from api.scalars import EmailAddress
from domain import values
from domain.commands.update_user_email import UpdateUserEmail
from domain.events import UserId


@strawberry.input(description="The user, and the address it gets.")
class UpdateUserEmailInput(AboutUser):
    email: EmailAddress = strawberry.field(description="Where mail reaches the user.")


UpdateUserEmailError = Annotated[
    InvalidInput | UserNotFound | EmailAlreadyRegistered | VersionConflict | IdempotencyKeyReused,
    strawberry.union("UpdateUserEmailError", description="Why updateUserEmail can be refused."),
]


@strawberry.type(description="What updateUserEmail answers.")
class UpdateUserEmailPayload(Payload[UpdateUserEmailError]):
    pass


@declare.mutation(description="Gives a user another e-mail address.", scope=Scope.WRITE)
async def update_user_email(
    info: Info,
    given: Annotated[
        UpdateUserEmailInput,
        strawberry.argument(name="input", description="The user, and the address it gets."),
    ],
) -> UpdateUserEmailPayload | None:
    read = Reading()
    command = UpdateUserEmail(
        user_id=UserId(read("userId", given.user_id, values.identifier)),
        email=read("email", given.email, values.email),
        expected_version=given.expected_version,
        idempotency_key=read.key(given),
    )
    return await carry_out(info, read, command, UpdateUserEmailPayload)
