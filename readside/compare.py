"""Users of one generation against the log: each in the version that it has in Redis."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from domain.events import UserId
from readside.agreed import Agreed
from readside.expected import Difference, Expected, Place
from readside.gate import Project
from readside.history import History
from readside.keys import Keys
from readside.look import Looks, Seen

Found = dict[UserId, dict[Place, str]]
"""Of each user the places that were found in its name, and their kinds."""


class Aside(msgspec.Struct, frozen=True, kw_only=True):
    """A user who is parked."""

    partition: int
    user: str
    version: int
    type: str
    reason: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """About one user who does not agree."""

    differences: list[Difference] = []
    aside: Aside | None = None
    under_way: bool = False
    """Whether that may still become right by itself."""


class Comparison:
    """Of users with one generation. Raises what the drivers raise, Turned and Unknown."""

    def __init__(
        self, keys: Keys, looks: Looks, history: History, projections: Sequence[Project]
    ) -> None:
        self._keys = keys
        self._looks = looks
        self._history = history
        self._projections = projections

    async def expected(self, users: Found) -> dict[UserId, Expected]:
        """What there must be of these users, as the log is now."""
        histories = await self._history.histories(list(users))
        return {
            user: Expected(
                self._keys, str(user), histories.get(user, []), self._projections, extra.items()
            )
            for user, extra in users.items()
        }

    async def wrong(
        self, expected: dict[UserId, Expected], agreed: Agreed | None = None
    ) -> dict[UserId, Verdict]:
        """Those who do not agree. What the others have in shared keys is added to `agreed`."""
        if not expected:
            return {}
        found = await self._looks.at({str(user): one for user, one in expected.items()})
        seen = {user: found[str(user)] for user in expected}
        expected = await self._up_to(expected, seen)
        verdicts = {user: self._verdict(one, seen[user]) for user, one in expected.items()}
        wrong = {user: one for user, one in verdicts.items() if one.differences or one.aside}
        if agreed is not None:
            for user in expected.keys() - wrong.keys():
                agreed.add(expected[user].shared())
        return wrong

    async def _up_to(
        self, expected: dict[UserId, Expected], seen: dict[UserId, Seen]
    ) -> dict[UserId, Expected]:
        """Whatever Redis has of a user the log has by now: it is read again where Redis was ahead."""
        ahead = [user for user, one in expected.items() if seen[user].version > one.last]
        if not ahead:
            return expected
        histories = await self._history.histories(ahead)
        return {
            user: one.knowing(histories.get(user, [])) if user in ahead else one
            for user, one in expected.items()
        }

    def _verdict(self, expected: Expected, seen: Seen) -> Verdict:
        late = seen.version < expected.last and seen.parked is None
        nothing_yet = seen.version == 0 and expected.last > 0
        differences = []
        if late or seen.version > expected.version:
            should = expected.last if late else expected.version
            ahead = seen.version > expected.last
            differences.append(expected.difference("version", "", should, seen.version, ahead))
        if not nothing_yet and not expected.erased_behind(seen.version):
            differences += expected.differences(seen.replies, seen.version)
        if seen.unfinished:
            differences.append(expected.difference("lost", "", None, "waits to be made anew"))
        return Verdict(
            differences=differences,
            aside=self._aside(expected, seen),
            under_way=late or seen.unfinished,
        )

    def _aside(self, expected: Expected, seen: Seen) -> Aside | None:
        if seen.parked is None:
            return None
        return Aside(partition=self._keys.partition.number, user=expected.user, **seen.parked)
