"""The aggregate of a user and their orders, as the machinery sees it."""

from __future__ import annotations

from domain.aggregate_contract import Aggregate, UniqueKey
from domain.tables import Children
from domain.users.events import UserErased, UserEvent, email_key
from domain.users.refusals import EmailAlreadyRegistered
from domain.users.state import User, evolve

USER = Aggregate(
    name="user",
    plural="users",
    state=User,
    events=UserEvent,
    evolve=evolve,
    table="users",
    children={"orders": Children(table="orders", parent="user_id")},
    unique=(
        UniqueKey(
            constraint="users_email_key",
            refusal=EmailAlreadyRegistered,
            column="email_key",
            source="email",
            derive=email_key,
        ),
    ),
    ends_with=(UserErased,),
)
