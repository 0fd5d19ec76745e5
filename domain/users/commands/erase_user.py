"""EraseUser: erases the personal data of a user; versions and the amounts of orders stay."""

from __future__ import annotations

from domain.command import Decision
from domain.users.commands import UserCommand
from domain.users.events import UserErased
from domain.users.state import User


class EraseUser(UserCommand, frozen=True, kw_only=True):
    def decide_existing(self, user: User) -> Decision:
        return [UserErased()]
