"""The second pass of `tandem verify`: verifies one user exactly, at whatever version each read returns.

Values of the active generation are read atomically with the user's version, and a scratch generation is then
brought to that version: so it does not matter what happens in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import msgspec

from domain.envelope import Envelope
from readside.admin.parked_users import ParkedUser
from readside.verify.compared_generations import ComparedGenerations
from readside.verify.difference import Difference, KeyEntry
from readside.verify.orphans import members_of
from readside.verify.scratch_user import ScratchUser
from readside.verify.snapshot import UserSnapshot

_MAX_READ_ENTRIES = 250
"""Entries of one atomic read."""


class UserVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one user."""

    differences: list[Difference] = []
    parked: ParkedUser | None = None
    in_flight: bool = False
    """Whether the differences may be replication lag."""
    required_version: int = 0
    """The version that the user must reach."""


class UserVerification:
    """Verifies one user. Raises what the drivers raise, GenerationChanged and GenerationGone."""

    def __init__(
        self, generations: ComparedGenerations, user: UUID, entries: Iterable[KeyEntry] = ()
    ) -> None:
        """`entries`: suspects that contain the user's id."""
        self._generations = generations
        self._user = user
        self._entries = set(entries)
        self._exists = False
        """Whether the log has the user."""

    async def verdict(self, required_version: int = 0, *, members: bool = False) -> UserVerdict:
        """Compares the user's keys, its members of shared keys, and the suspects.

        `required_version` is the version it must reach, 0 for the present one of the log; with `members`,
        shared keys are searched for members that should not exist.
        """
        newest = await self._newest()
        required_version = required_version or (newest.version if newest is not None else 0)
        [snapshot] = (await self._generations.snapshots.users({self._user: ()})).values()
        differences: list[Difference] = []
        # Without a version, none of its events has arrived yet, or a resync has just started.
        if snapshot.version or not required_version:
            async with ScratchUser(self._generations, self._user) as scratch:
                differences = await self._differences(scratch, snapshot, members=members)
        is_behind = snapshot.version < required_version and snapshot.parked is None
        if is_behind:
            differences.insert(0, self._version_difference(required_version, snapshot))
        if snapshot.needs_resync:
            differences.append(self._difference("lost", "", None, "needs a resync"))
        number = self._generations.keys.partition.number
        return UserVerdict(
            differences=differences,
            parked=None
            if snapshot.parked is None
            else ParkedUser(partition=number, user=str(self._user), **snapshot.parked),
            in_flight=is_behind or snapshot.needs_resync,
            required_version=required_version,
        )

    async def _differences(
        self, scratch: ScratchUser, snapshot: UserSnapshot, *, members: bool
    ) -> list[Difference]:
        version = await scratch.build(snapshot.version)
        entries = self._entries | await scratch.suspects()
        if members:
            entries |= await members_of(self._generations, self._user, scratch.shared_keys)
        differences = await self._confirmed(scratch, sorted(entries))
        newest = await self._newest()
        if newest and newest.is_final and newest.version > snapshot.version:
            return []  # the erasure has blanked events in the log whose data the keys may still have
        if version < snapshot.version:
            is_ahead = newest is None or newest.version < snapshot.version
            difference = self._version_difference(version, snapshot, shared=is_ahead)
            differences.insert(0, difference)
        return differences

    async def _confirmed(self, scratch: ScratchUser, entries: list[KeyEntry]) -> list[Difference]:
        """Returns the entries that differ at the version that the user has when they are read."""
        differences: list[Difference] = []
        for start in range(0, len(entries), _MAX_READ_ENTRIES):
            chunk = entries[start : start + _MAX_READ_ENTRIES]
            read = await self._generations.snapshots.users({self._user: chunk})
            snapshot = read[self._user]
            if not snapshot.version and self._exists:
                break  # a resync has started
            await scratch.build(snapshot.version)
            expected = await scratch.read(chunk)
            differences += self._differing(chunk, expected, snapshot.values, scratch.own_keys)
        return differences

    def _differing(
        self, entries: list[KeyEntry], expected: list[Any], actual: list[Any], own_keys: set[str]
    ) -> Iterator[Difference]:
        for entry, should, found in zip(entries, expected, actual, strict=True):
            if should != found:
                name = entry.name.removesuffix(f":{self._user}")
                shared = entry.name not in own_keys
                yield self._difference(name, entry.member, should, found, shared=shared)

    async def _newest(self) -> Envelope | None:
        newest = await self._generations.event_source.newest(self._user)
        self._exists = newest is not None
        return newest

    def _version_difference(
        self, should: int, snapshot: UserSnapshot, *, shared: bool = False
    ) -> Difference:
        return self._difference("version", "", should, snapshot.version, shared=shared)

    def _difference(
        self, key: str, field: str, should: Any, found: Any, *, shared: bool = False
    ) -> Difference:
        return Difference(
            partition=self._generations.keys.partition.number,
            key=key,
            user=str(self._user),
            field=field,
            should=should,
            found=found,
            shared=shared,
        )
