"""eraseUser: blanks the personal data of a user permanently."""

import strawberry

from api.resolvers.command_mutation import InputParser, command_mutation
from api.schema.users.types.command_input import UserCommandInput
from api.schema.users.types.payload import UserPayload
from domain.users.commands.erase_user import EraseUser
from domain.users.refusals import UserNotFound


@strawberry.input(description="The user to forget.")
class EraseUserInput(UserCommandInput):
    pass


@command_mutation(
    UserPayload,
    EraseUserInput,
    "Forgets a person for good: name and e-mail address are blanked everywhere.",
    refusals=[UserNotFound],
    permission="erase",
)
def erase_user(given: EraseUserInput, parse: InputParser) -> EraseUser:
    return EraseUser(
        user_id=given.parse_user_id(parse),
        expected_version=given.expected_version,
        idempotency_key=parse.idempotency_key(given),
    )
