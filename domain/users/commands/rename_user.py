"""renameUser: another name for a user; the one it already has changes nothing."""

from __future__ import annotations

from domain.command import Decision
from domain.users.commands import UserCommand
from domain.users.events import UserRenamed
from domain.users.state import User


class RenameUser(UserCommand, frozen=True, kw_only=True):
    name: str

    def change(self, user: User) -> Decision:
        return [] if self.name == user.name else [UserRenamed(name=self.name)]
