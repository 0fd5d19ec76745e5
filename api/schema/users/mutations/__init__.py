"""The command side of the schema: one file and one field per command. Nothing here asks Redis."""

import strawberry

from api.schema.users.mutations import (
    cancel_order,
    complete_order,
    create_user,
    erase_user,
    place_order,
    rename_user,
    update_user_email,
)


@strawberry.type(description="What can be changed. Each field is one command, in one transaction.")
class Mutation:
    create_user = create_user.create_user
    update_user_email = update_user_email.update_user_email
    rename_user = rename_user.rename_user
    place_order = place_order.place_order
    complete_order = complete_order.complete_order
    cancel_order = cancel_order.cancel_order
    erase_user = erase_user.erase_user
