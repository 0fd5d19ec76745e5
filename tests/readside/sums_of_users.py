"""Projections to grouped sums: users per e-mail domain, and revenue per month in UTC."""

from __future__ import annotations

from typing import assert_never

from domain.users import events
from readside.grouped_sum import GroupedSum
from readside.projection import Command, ProjectedEvent
from readside.redis_functions.keys import Keys
from readside.timestamps import month_of

DOMAINS, REVENUE = GroupedSum("domains"), GroupedSum("revenue")


def users_per_domain(keys: Keys, event: ProjectedEvent[events.UserEvent]) -> list[Command]:
    match event.data:
        case events.UserCreated(email=email) | events.UserEmailUpdated(email=email):
            return [DOMAINS.contribute(keys, event, email.rpartition("@")[2], 1)]
        case events.UserErased():
            return [DOMAINS.withdraw(keys, event)]
        case (
            events.UserRenamed()
            | events.OrderPlaced()
            | events.OrderCompleted()
            | events.OrderCancelled()
        ):
            return []
        case _:
            assert_never(event.data)


def revenue_per_month(keys: Keys, event: ProjectedEvent[events.UserEvent]) -> list[Command]:
    match event.data:
        case events.OrderCompleted(total=total):
            month = month_of(event.occurred_at)
            return [REVENUE.contribute_more(keys, event, month, total)]
        case events.UserCreated() | events.UserErased():
            # Created: a replay begins here.
            return [REVENUE.withdraw(keys, event)]
        case (
            events.UserEmailUpdated()
            | events.UserRenamed()
            | events.OrderPlaced()
            | events.OrderCancelled()
        ):
            return []
        case _:
            assert_never(event.data)
