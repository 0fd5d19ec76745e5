"""One user in a scratch generation, in the version that is wanted."""

from __future__ import annotations

from types import TracebackType

from domain.users.events import UserId
from readside.event_source import history_pages
from readside.verify.difference import KeyEntry
from readside.verify.sides import ComparedGenerations
from readside.verify.snapshot import values


class ScratchUser:
    """Leaving `async with` removes it. Raises what the drivers raise, and Gone."""

    def __init__(self, sides: ComparedGenerations, user: UserId) -> None:
        self._sides = sides
        self._user = user
        self._scratch = sides.scratch()
        self._reached = 0
        self.own: set[str] = set()
        """The names of the keys that the user's events write."""

    async def __aenter__(self) -> ScratchUser:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._scratch.drop()

    @property
    def shared(self) -> set[str]:
        """The names of the keys that the user's events write and other users' events as well."""
        return self._scratch.shared

    async def to(self, version: int) -> int:
        """Brings the user to that version; returns the one it has then: lower if the log has no more."""
        if version < self._reached:
            await self._scratch.drop()
            self._scratch, self._reached = self._sides.scratch(), 0
        await self._scratch.keep()
        async for page in history_pages(self._sides.history, self._user, self._reached):
            wanted = [one for one in page if one.version <= version]
            await self._scratch.add(wanted)
            if len(wanted) < len(page):
                break
        self._reached = version
        self.own |= self._scratch.own.get(str(self._user), set())
        return self._scratch.versions.get(self._user, 0)

    async def suspects(self) -> set[KeyEntry]:
        """Where the generation that serves may differ, unless it has changed while this was compared."""
        slices = self._sides.slices(self._scratch)
        differ, _ = await slices.shared(self._scratch.shared)
        return differ | await slices.own(self._scratch.own.get(str(self._user), ()))

    async def values(self, places: list[KeyEntry]) -> list[object]:
        """What these places hold here."""
        found = await values(self._sides.functions, self._scratch.keys, places)
        await self._scratch.check()
        return found
