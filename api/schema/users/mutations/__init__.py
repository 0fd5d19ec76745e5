"""The mutations of users and orders: one file and one field per command. Nothing here reads Redis."""

import strawberry

from api.schema.users.mutations.cancel_order import cancel_order
from api.schema.users.mutations.complete_order import complete_order
from api.schema.users.mutations.create_user import create_user
from api.schema.users.mutations.erase_user import erase_user
from api.schema.users.mutations.place_order import place_order
from api.schema.users.mutations.rename_user import rename_user
from api.schema.users.mutations.update_user_email import update_user_email


@strawberry.type
class Mutation:
    create_user = create_user
    update_user_email = update_user_email
    rename_user = rename_user
    place_order = place_order
    complete_order = complete_order
    cancel_order = cancel_order
    erase_user = erase_user
