"""The first pass of `tandem verify`: compares all users, page by page, at the version that Redis has.

Data changes meanwhile, so a user who differs here is only a suspect, which user_verification.py
verifies exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from uuid import UUID

from domain.envelope import Envelope
from readside.verify.compared_generations import ComparedGenerations
from readside.verify.difference import KeyEntry, user_in
from readside.verify.scratch_generation import ScratchGeneration
from readside.verify.snapshot import UserSnapshot
from readside.verify.verified_set import VerifiedSet

MAX_PAGE_EVENTS = 2000
"""Events in memory at a time."""

MAX_SCRATCH_EVENTS = 20_000
"""Events of a scratch generation after which no other user is added to it: it uses memory of Redis."""


class BulkVerification:
    """Verifies one partition. Raises what the drivers raise, GenerationChanged and GenerationGone."""

    def __init__(self, generations: ComparedGenerations) -> None:
        self._generations = generations
        self.users = 0
        """The number of users compared."""
        self.suspects: dict[UUID, int] = {}
        """Users who differ, or are behind the log, each with its version in the log."""
        self.verified = VerifiedSet()
        self.usual_keys: set[str] | None = None
        """The names of the keys that every user has, without the user's id; None if there is no user."""

    async def page(self, users: list[UUID]) -> None:
        """Compares these users. Versions are read first, so that the log has every event that Redis has."""
        snapshots = await self._generations.snapshots.users(dict.fromkeys(users, ()))
        newest: dict[UUID, int] = {}
        scratch = self._generations.new_scratch()
        try:
            async for events in self._generations.event_source.events_of(users, MAX_PAGE_EVENTS):
                newest.update((envelope.aggregate_id, envelope.version) for envelope in events)
                continued = _events_at_start(events, scratch.last_user)
                await scratch.add(_applied(continued, snapshots))
                if scratch.events >= MAX_SCRATCH_EVENTS and len(continued) < len(events):
                    await self._compare(scratch, snapshots)
                    await scratch.drop()
                    scratch = self._generations.new_scratch()
                await scratch.add(_applied(events[len(continued) :], snapshots))
            await self._compare(scratch, snapshots)
        finally:
            await scratch.drop()
        self.users += len(users)
        for user, version in newest.items():
            snapshot = snapshots[user]
            is_behind = snapshot.version < version
            if is_behind or snapshot.parked or snapshot.needs_resync or user in self.suspects:
                self.suspects[user] = version

    async def _compare(
        self, scratch: ScratchGeneration, snapshots: dict[UUID, UserSnapshot]
    ) -> None:
        comparison = self._generations.comparison(scratch)
        names = (name for names in scratch.user_keys.values() for name in names)
        differing = await comparison.user_keys(names)
        differing_shared, verified = await comparison.shared_keys(scratch.shared_keys)
        self.verified.add(verified)
        for user, own_keys in scratch.user_keys.items():
            kinds = {name.removesuffix(f":{user}") for name in own_keys}
            self.usual_keys = kinds if self.usual_keys is None else self.usual_keys & kinds
        # The log does not lead to the version that these users have.
        unreached = [
            user
            for user, snapshot in snapshots.items()
            if str(user) in scratch.user_keys and scratch.versions.get(user) != snapshot.version
        ]
        suspects = [*_users_of(differing | differing_shared), *unreached]
        self.suspects |= dict.fromkeys(suspects, 0)


def _events_at_start(events: Iterable[Envelope], user: UUID | None) -> list[Envelope]:
    """Returns the first events of a page that belong to this user."""
    return list(takewhile(lambda envelope: envelope.aggregate_id == user, events))


def _applied(events: Iterable[Envelope], snapshots: dict[UUID, UserSnapshot]) -> list[Envelope]:
    return [event for event in events if event.version <= snapshots[event.aggregate_id].version]


def _users_of(entries: Iterable[KeyEntry]) -> Iterable[UUID]:
    """Returns users by the name of a key, whose members may contain other ids, or else by its member."""
    users = (user_in(entry.name) or user_in(entry.member) for entry in entries)
    return (user for user in users if user is not None)
