"""The rules about what Redis holds in the end: every key, to the letter, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from readside.redis_functions.keys import LEASE_PREFIX, Keys
from tests.chaos.case import Case
from tests.chaos.model import read_model
from tests.chaos.product_model import SUMS

BOOKKEEPING = {"counters", "parked", "lost"}
"""Keys of a generation that say nothing about users."""


def read_model_is_the_fold(case: Case) -> Iterator[str]:
    """Every key of the generation that serves, to the letter.

    What a user who is parked on purpose has contributed to a sum stays in it until it is withdrawn. So it is
    the sum of the others, and of what the hash of contributions has of those who are parked.
    """
    stories = {user: story for user, story in case.stories.items() if user not in case.parked}
    products = case.evidence.products is not None
    model = read_model(stories, case.evidence.partitions, products=products)
    for partition, wanted in enumerate(model):
        keys = case.evidence.serving(partition)
        if keys is None:
            yield f"nothing serves partition {partition}"
            continue
        found = _found(case, keys)
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name) and not _forgotten(name, wanted, found):
                difference = _difference(wanted.get(name), found.get(name))
                yield f"partition {partition}, {name}: {difference}"


def _forgotten(name: str, wanted: dict[str, Any], found: dict[str, Any]) -> bool:
    """A list of last versions that was lost is rebuilt when a client requests them, not before."""
    if not name.startswith("recent") or name not in wanted:
        return False
    left = found.get(name, [])
    return bool(left == wanted[name][len(wanted[name]) - len(left) :])


def _found(case: Case, keys: Keys) -> dict[str, Any]:
    """What a generation says about users, those aside who are parked on purpose."""
    prefix, found = keys.shared_key(""), {}
    for key, value in case.evidence.keys.items():
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix)
        kind, _, user = name.partition(":")
        if kind in BOOKKEEPING or user in case.parked:
            continue
        if name in SUMS:
            value = _not_of(value, case.evidence.keys.get(f"{key}-of", {}), case.parked)
        if (rest := _without(value, case.parked)) != {}:
            found[name] = rest
    return found


def _not_of(
    sums: dict[str, str], contributions: dict[str, str], ids: frozenset[str]
) -> dict[str, str]:
    """The sums without what these contribute to them; a group whose sum is 0 is left out."""
    left = dict(sums)
    for contribution in (contributions[id_] for id_ in ids & contributions.keys()):
        for line in contribution.splitlines():
            amount, _, group = line.partition(" ")
            left[group] = str(int(left.get(group, "0")) - int(amount))
            if left[group] == "0":
                del left[group]
    return left


def _without(value: Any, users: frozenset[str]) -> Any:
    """An index without the entries of these users, which end with their ids."""
    if not users or not isinstance(value, dict):
        return value
    return {name: of for name, of in value.items() if name[-36:] not in users}


def nobody_parked(case: Case) -> Iterator[str]:
    """But for those who are parked on purpose."""
    parked: set[str] = set()
    for partition in range(case.evidence.partitions):
        if (keys := case.evidence.serving(partition)) is not None:
            for user, why in case.evidence.keys.get(keys.parked, {}).items():
                parked.add(user)
                if user not in case.parked:
                    yield f"user {user} is parked: {why}"
    yield from (f"user {user} is not parked" for user in sorted(case.parked - parked))


def no_orphans(case: Case) -> Iterator[str]:
    """Every key belongs to a generation that is known, so that it will be removed with it."""
    places = [
        case.evidence.namespace.partition(number) for number in range(case.evidence.partitions)
    ]
    known = {place.prefix: case.evidence.keys.get(place.generations, {}) for place in places}
    apart = {
        key
        for place in places
        for key in (
            place.stream,
            place.cursor,
            place.last_erasure,
            place.generations,
            place.accepted_fingerprint,
        )
    } | {case.evidence.namespace.projectors(case.evidence.fingerprint)}
    for key in case.evidence.keys.keys() - apart:
        tandem, tag, name = [*key.split(":", 3), "", ""][:3]
        if f"{tandem}:{tag}" not in known:
            yield f"{key} belongs to no partition"
        elif name != LEASE_PREFIX and name not in known[f"{tandem}:{tag}"]:
            yield f"{key} belongs to no generation"
    for place in places:
        for group in case.evidence.groups[place.number]:
            if group["name"] not in known[place.prefix]:
                yield f"group {group['name']} of partition {place.number} belongs to no generation"


def all_acknowledged(case: Case) -> Iterator[str]:
    """The group of the generation that serves has read everything, and nothing is pending."""
    for partition in range(case.evidence.partitions):
        if (keys := case.evidence.serving(partition)) is None:
            continue
        mine = [g for g in case.evidence.groups[partition] if g["name"] == keys.generation]
        if not mine:
            yield f"the generation that serves partition {partition} has no group"
        for group in mine:
            if group["pending"] or group["unread"]:
                yield f"partition {partition} has entries that are not acknowledged: {group}"


def _difference(wanted: Any, found: Any) -> str:
    if not isinstance(wanted, dict) or not isinstance(found, dict):
        return f"{_short(found)}, the log says {_short(wanted)}"
    differ = [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]
    told = {name: (found.get(name), wanted.get(name)) for name in sorted(differ)[:3]}
    return f"{len(differ)} fields differ, such as (found, log says) {told}"


def _short(value: Any) -> str:
    return "missing" if value is None else repr(value)[:300]


RULES = (read_model_is_the_fold, nobody_parked, no_orphans, all_acknowledged)
