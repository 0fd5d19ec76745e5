"""updateUserEmail: gives a user another e-mail address."""

import strawberry

from api.resolvers.command_mutation import InputParser, command_mutation
from api.resolvers.scalars import EmailAddress
from api.schema.users.types.command_input import UserCommandInput
from api.schema.users.types.payload import UserPayload
from domain.users import values
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.refusals import EmailAlreadyRegistered, UserNotFound


@strawberry.input(description="The user, and the address it gets.")
class UpdateUserEmailInput(UserCommandInput):
    email: EmailAddress = strawberry.field(description="Where mail reaches the user.")


@command_mutation(
    UserPayload,
    UpdateUserEmailInput,
    "Gives a user another e-mail address.",
    refusals=[UserNotFound, EmailAlreadyRegistered],
)
def update_user_email(given: UpdateUserEmailInput, parse: InputParser) -> UpdateUserEmail:
    return UpdateUserEmail(
        user_id=given.parse_user_id(parse),
        email=parse("email", given.email, values.parse_email),
        expected_version=given.expected_version,
        idempotency_key=parse.idempotency_key(given),
    )
