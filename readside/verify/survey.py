"""The first pass of `tandem verify`: all users, page by page, each compared in the version that Redis has.

Nothing holds still meanwhile, so what differs here is only doubtful: examination.py looks at it closely.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from domain.envelope import Envelope
from domain.users.events import UserId
from readside.verify.difference import KeyEntry, user_in
from readside.verify.scratch_generation import ScratchGeneration
from readside.verify.sides import ComparedGenerations
from readside.verify.snapshot import UserSnapshot
from readside.verify.verified_set import VerifiedSet

EVENTS = 2000
"""The most events in memory at a time."""

ROOM = 20_000
"""Events of a scratch generation from which on no other user is added to it: it costs Redis memory."""


class BulkVerification:
    """Of one partition. Raises what the drivers raise, Turned and Gone."""

    def __init__(self, sides: ComparedGenerations) -> None:
        self._sides = sides
        self.users = 0
        self.doubtful: dict[UserId, int] = {}
        """Users who do not agree, or not yet, and the version that each has in the log."""
        self.agreed = VerifiedSet()
        self.usual: set[str] | None = None
        """Names of keys that every user has, without the user; None if there is no user."""

    async def page(self, users: list[UserId]) -> None:
        """Compares these users. The versions are read first, so that the log has what Redis has."""
        seen = await self._sides.looks.at(dict.fromkeys(users, ()))
        newest: dict[UserId, Envelope] = {}
        scratch = self._sides.scratch()
        try:
            async for events in self._sides.history.events_of(users, EVENTS):
                newest.update((one.user_id, one) for one in events)
                going_on = _of(scratch.last, events)
                await scratch.add(_shown(going_on, seen))
                if scratch.events >= ROOM and len(going_on) < len(events):
                    await self._compare(scratch, seen)
                    await scratch.drop()
                    scratch = self._sides.scratch()
                await scratch.add(_shown(events[len(going_on) :], seen))
            await self._compare(scratch, seen)
        finally:
            await scratch.drop()
        self.users += len(users)
        self._doubt(newest, seen)

    def _doubt(self, newest: dict[UserId, Envelope], seen: dict[UserId, UserSnapshot]) -> None:
        """Adds users who are not as far as the log, and sets for all the version that they must come to."""
        for user, one in newest.items():
            there = seen[user]
            late = there.version < one.version
            if late or there.parked or there.unfinished or user in self.doubtful:
                self.doubtful[user] = one.version

    async def _compare(self, scratch: ScratchGeneration, seen: dict[UserId, UserSnapshot]) -> None:
        slices = self._sides.slices(scratch)
        wrong = await slices.own(name for names in scratch.own.values() for name in names)
        differ, alike = await slices.shared(scratch.shared)
        self.agreed.add(alike)
        for user, names in scratch.own.items():
            self._note_usual({name.removesuffix(f":{user}") for name in names})
        short = [user for user, there in seen.items() if _short(user, there, scratch)]
        self.doubtful |= dict.fromkeys([*_users_in(wrong | differ), *short], 0)

    def _note_usual(self, names: set[str]) -> None:
        self.usual = names if self.usual is None else self.usual & names


def _of(user: UserId | None, events: Iterable[Envelope]) -> list[Envelope]:
    """Those that the page begins with, if they belong to this user."""
    return list(takewhile(lambda one: one.user_id == user, events))


def _shown(events: Iterable[Envelope], seen: dict[UserId, UserSnapshot]) -> list[Envelope]:
    return [one for one in events if one.version <= seen[one.user_id].version]


def _short(user: UserId, there: UserSnapshot, scratch: ScratchGeneration) -> bool:
    """Whether the log does not lead to the version that the user has."""
    return str(user) in scratch.own and scratch.versions.get(user) != there.version


def _users_in(places: Iterable[KeyEntry]) -> Iterable[UserId]:
    """The users of own keys, which may have ids of other things as members, and of members of shared keys."""
    found = (user_in(place.name) or user_in(place.member) for place in places)
    return (user for user in found if user is not None)
