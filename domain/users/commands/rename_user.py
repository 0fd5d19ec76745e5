"""RenameUser: changes a user's name; the present name changes nothing."""

from __future__ import annotations

from domain.command import Decision
from domain.users.commands import UserCommand
from domain.users.events import UserRenamed
from domain.users.state import User


class RenameUser(UserCommand, frozen=True, kw_only=True):
    name: str

    def decide_existing(self, user: User) -> Decision:
        return [] if self.name == user.name else [UserRenamed(name=self.name)]
