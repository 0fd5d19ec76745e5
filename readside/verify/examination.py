"""The second pass of `tandem verify`: one user, exactly, in whatever version Redis has at each look.

Values of the generation that serves are read together with the user's version, and then a scratch generation
is brought to that version: so it does not matter what happens in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from domain.envelope import Envelope
from domain.users.events import UserErased, UserId
from readside.admin.parked import ParkedUser
from readside.verify.difference import Difference, KeyEntry
from readside.verify.orphans import members_of
from readside.verify.scratch_user import ScratchUser
from readside.verify.sides import ComparedGenerations
from readside.verify.snapshot import UserSnapshot

_PLACES = 250
"""Places of one look."""


class UserVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """About one user."""

    differences: list[Difference] = []
    aside: ParkedUser | None = None
    under_way: bool = False
    """Whether that may still become right by itself."""
    last: int = 0
    """The version that the user must come to."""


class UserVerification:
    """Of one user. Raises what the drivers raise, Turned and Gone."""

    def __init__(
        self, sides: ComparedGenerations, user: UserId, places: Iterable[KeyEntry] = ()
    ) -> None:
        """`places` are those where something was found in the name of the user."""
        self._sides = sides
        self._user = user
        self._places = set(places)
        self._known = False
        """Whether the log has the user."""

    async def verdict(self, last: int = 0, *, members: bool = False) -> UserVerdict:
        """Compares all keys of the user, its members in shared keys, and the places.

        `last` is the version that it must come to, 0 for the present one of the log; with `members` shared
        keys are searched for members that should not be there.
        """
        newest = await self._newest()
        last = last or (newest.version if newest is not None else 0)
        [seen] = (await self._sides.looks.at({self._user: ()})).values()
        differences: list[Difference] = []
        if seen.version or not last:  # or else nothing of it has arrived, or it is being made anew
            async with ScratchUser(self._sides, self._user) as build:
                differences = await self._differences(build, seen, members=members)
        late = seen.version < last and seen.parked is None
        if late:
            differences.insert(0, self._version(last, seen, shared=False))
        if seen.unfinished:
            differences.append(self._difference("lost", "", None, "waits to be made anew"))
        return UserVerdict(
            differences=differences,
            aside=self._aside(seen),
            under_way=late or seen.unfinished,
            last=last,
        )

    async def _differences(
        self, build: ScratchUser, seen: UserSnapshot, *, members: bool
    ) -> list[Difference]:
        version = await build.to(seen.version)
        places = self._places | await build.suspects()
        if members:
            places |= await members_of(self._sides, self._user, build.shared)
        found = await self._confirmed(build, sorted(places))
        newest = await self._newest()
        if newest and newest.type == UserErased.__name__ and newest.version > seen.version:
            return []  # the erasure has blanked in the log what the keys may still hold
        if version < seen.version:
            ahead = newest is None or newest.version < seen.version
            found.insert(0, self._version(version, seen, shared=ahead))
        return found

    async def _confirmed(self, build: ScratchUser, places: list[KeyEntry]) -> list[Difference]:
        """Of these places those that differ in the version that the user has when they are read."""
        found: list[Difference] = []
        for start in range(0, len(places), _PLACES):
            chunk = places[start : start + _PLACES]
            [seen] = (await self._sides.looks.at({self._user: chunk})).values()
            if not seen.version and self._known:
                break  # it is being made anew
            await build.to(seen.version)
            should = await build.values(chunk)
            found += self._differing(chunk, should, seen.values, build.own)
        return found

    def _differing(
        self, places: list[KeyEntry], should: list[Any], found: list[Any], own: set[str]
    ) -> Iterator[Difference]:
        for place, wanted, there in zip(places, should, found, strict=True):
            if wanted != there:
                name = place.name.removesuffix(f":{self._user}")
                yield self._difference(
                    name, place.member, wanted, there, shared=place.name not in own
                )

    async def _newest(self) -> Envelope | None:
        newest = await self._sides.history.newest(self._user)
        self._known = newest is not None
        return newest

    def _version(self, should: int, seen: UserSnapshot, *, shared: bool) -> Difference:
        return self._difference("version", "", should, seen.version, shared=shared)

    def _difference(
        self, key: str, field: str, should: Any, found: Any, *, shared: bool = False
    ) -> Difference:
        return Difference(
            partition=self._sides.keys.partition.number,
            key=key,
            user=str(self._user),
            field=field,
            should=should,
            found=found,
            shared=shared,
        )

    def _aside(self, seen: UserSnapshot) -> ParkedUser | None:
        if seen.parked is None:
            return None
        number = self._sides.keys.partition.number
        return ParkedUser(partition=number, user=str(self._user), **seen.parked)
