"""eraseUser: blanks the personal data of a user permanently."""

import strawberry

from api.auth.scopes import Scope
from api.schema.users.command_input import InputParser, UserCommandInput
from api.schema.users.command_mutation import command_mutation
from domain.refusal import VersionConflict
from domain.users.commands.erase_user import EraseUser
from domain.users.refusals import UserNotFound


@strawberry.input(description="The user to forget.")
class EraseUserInput(UserCommandInput):
    pass


@command_mutation(
    EraseUserInput,
    "Forgets a person for good: name and e-mail address are blanked everywhere.",
    refusals=[UserNotFound, VersionConflict],
    scope=Scope.ERASE,
)
def erase_user(given: EraseUserInput, parse: InputParser) -> EraseUser:
    return EraseUser(
        user_id=parse.user_id(given),
        expected_version=given.expected_version,
        idempotency_key=parse.idempotency_key(given),
    )
