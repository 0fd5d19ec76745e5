"""Sums by group, such as revenue per month: what aggregates contribute to groups.

They are exact: 64-bit integers, and a contribution that a sum cannot hold parks its aggregate. They depend on
the last contributions only, not on the way to them, so an event that is projected again changes nothing.
queries/grouped_sums.py reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from readside.projection import Command, ProjectedEvent

if TYPE_CHECKING:
    from readside.redis_functions.keys import Keys


class GroupedSum:
    """The commands by which an aggregate contributes to the sums of this name.

    Redis has two hashes: group -> sum, without groups whose sum is 0, and aggregate -> "amount group", a line
    for each group. An event that ends an aggregate must withdraw, and so must its first event if a later one
    contributes more: a replay finds the old contributions.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def contribute(
        self, keys: Keys, event: ProjectedEvent[Any], group: str, amount: int
    ) -> Command:
        """Returns the command that replaces all contributions of the aggregate by this one."""
        return self._command("CONTRIBUTE", keys, event, group, amount)

    def contribute_more(
        self, keys: Keys, event: ProjectedEvent[Any], group: str, amount: int
    ) -> Command:
        """Returns the command that adds to the contribution of the aggregate to one group."""
        return self._command("CONTRIBUTE_MORE", keys, event, group, amount)

    def withdraw(self, keys: Keys, event: ProjectedEvent[Any]) -> Command:
        """Returns the command that removes all contributions of the aggregate."""
        return self._command("CONTRIBUTE", keys, event, "", 0)

    def _command(
        self, verb: str, keys: Keys, event: ProjectedEvent[Any], group: str, amount: int
    ) -> Command:
        if abs(amount) >= 2**63:
            raise OverflowError(f"{amount} has more than 63 bits")
        sums, members = keys.shared_key(self.name), keys.shared_key(f"{self.name}-of")
        return (verb, sums, members, event.aggregate_id, group, str(amount))
