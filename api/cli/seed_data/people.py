"""Generates demo users and their orders, the same for the same seed and number on every machine."""

from __future__ import annotations

import random
from typing import Literal

import msgspec

_FIRST = """
    Ada Alan Amara Anouk Bela Carla Chidi Dorothy Edsger Elif Emmy Farid Grace Hedy Ines Ivo Jonas Katherine
    Kenji Lea Linus Mai Margaret Niklas Noor Olga Priya Radia Sofia Tariq Uma Viktor Wanda Yusuf Zora
"""
_LAST = """
    Abara Becker Castillo Dubois Eriksen Fontana Goldberg Haddad Ivanova Jansen Kovacs Lindqvist Moreau
    Nakamura Okafor Petrov Quispe Rossi Schneider Tanaka Ustinov Varga Weber Ximenes Yilmaz Zhang
"""

Outcome = Literal["open", "completed", "cancelled"]

_OUTCOMES: tuple[Outcome, ...] = ("open", "completed", "completed", "completed", "cancelled")
_MAX_ORDERS = 12


class PlannedOrder(msgspec.Struct, frozen=True):
    total: int
    """In minor units."""
    outcome: Outcome


class Person(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    email: str
    orders: tuple[PlannedOrder, ...]
    new_name: str | None
    """The name that the person changes to; None if it keeps its name."""


def person(seed: int, number: int) -> Person:
    """Returns a person with orders; most have few, and some have many."""
    chance = random.Random(f"{seed}:{number}")  # noqa: S311 - nothing here is a secret
    first, last = _word(chance, _FIRST), _word(chance, _LAST)
    count = min(_MAX_ORDERS, int(chance.expovariate(1 / 2.5)))
    orders = tuple(
        PlannedOrder(round(chance.lognormvariate(8, 1)) + 99, chance.choice(_OUTCOMES))
        for _ in range(count)
    )
    return Person(
        name=f"{first} {last}",
        email=f"{first}.{last}.{seed}.{number}@example.com".lower(),
        orders=orders,
        new_name=f"{first} {_word(chance, _LAST)}" if chance.random() < 0.1 else None,
    )


def _word(chance: random.Random, words: str) -> str:
    return chance.choice(words.split())
