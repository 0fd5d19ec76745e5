"""renameUser: gives a user another name."""

import strawberry

from api.resolvers.command_mutation import InputParser, command_mutation
from api.schema.users.types.command_input import UserCommandInput
from api.schema.users.types.payload import UserPayload
from domain.users import values
from domain.users.commands.rename_user import RenameUser
from domain.users.refusals import UserNotFound


@strawberry.input(description="The user, and the name it gets.")
class RenameUserInput(UserCommandInput):
    name: str = strawberry.field(
        description="What the user is called: 1 to 100 characters, at least one of them visible, none that"
        " reorders or hides text. Blanks around it are removed."
    )


@command_mutation(
    UserPayload, RenameUserInput, "Gives a user another name.", refusals=[UserNotFound]
)
def rename_user(given: RenameUserInput, parse: InputParser) -> RenameUser:
    return RenameUser(
        user_id=given.parse_user_id(parse),
        name=parse("name", given.name, values.parse_name),
        expected_version=given.expected_version,
        idempotency_key=parse.idempotency_key(given),
    )
