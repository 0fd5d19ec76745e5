"""eraseUser: the person is forgotten; the numbers of the log and the amounts of the orders stay."""

from __future__ import annotations

from domain.command import Decision
from domain.users.commands import UserCommand
from domain.users.events import UserErased
from domain.users.state import User


class EraseUser(UserCommand, frozen=True, kw_only=True):
    def change(self, user: User) -> Decision:
        return [UserErased()]
