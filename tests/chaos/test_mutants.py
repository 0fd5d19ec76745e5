"""The checker catches every mutant, and finds nothing in what we ship."""

from __future__ import annotations

import pytest

from tests.chaos import (
    mutants_of_assignment,
    mutants_of_erasure,
    mutants_of_identity,
    mutants_of_products,
)
from tests.chaos.assignment_run import sharing
from tests.chaos.conftest import Make
from tests.chaos.erasure_run import erasing
from tests.chaos.identity_run import MEMBERS, identity
from tests.chaos.mutants import MUTANTS, STEPS
from tests.chaos.scripted_run import gauntlet, undisturbed

SEEDS = (1, 2, 3)
"""The budget of each mutant: so many runs."""

RUN = 120
"""Seconds that one run may take."""


AT_ONCE = 1.0
"""Seconds after which a read model that differs from the log is not about to be rebuilt."""


@pytest.mark.parametrize("seed", SEEDS[:2])
async def test_what_we_ship_runs_the_gauntlet_unharmed(make: Make, seed: int) -> None:
    async with make() as cluster:
        assert await gauntlet(cluster, seed) == []


@pytest.mark.timeout(RUN * len(SEEDS))
@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_mutant_is_caught(make: Make, mutant: str) -> None:
    for seed in SEEDS:
        async with make(MUTANT=mutant) as cluster:
            if await gauntlet(cluster, seed, first=STEPS[MUTANTS[mutant]]):
                return
    pytest.fail(f"{mutant} survived: {MUTANTS[mutant].__doc__}")


async def test_of_whom_we_erase_nothing_is_left(make: Make) -> None:
    async with make(names=MEMBERS) as cluster:
        assert await erasing(cluster, SEEDS[0]) == []


@pytest.mark.parametrize("mutant", mutants_of_erasure.MUTANTS)
async def test_a_mutant_of_erasure_is_caught(make: Make, mutant: str) -> None:
    async with make(names=MEMBERS, MUTANT=mutant) as cluster:
        assert await erasing(cluster, SEEDS[0]), "it survived"


async def test_our_projectors_share_evenly_and_lose_nothing(make: Make) -> None:
    async with make() as cluster:
        assert await sharing(cluster, SEEDS[0]) == []


@pytest.mark.parametrize("mutant", mutants_of_assignment.MUTANTS)
async def test_a_mutant_of_sharing_is_caught(make: Make, mutant: str) -> None:
    async with make(MUTANT=mutant) as cluster:
        assert await sharing(cluster, SEEDS[0]), "it survived"


async def test_a_changed_log_is_detected_and_another_one_is_refused(make: Make) -> None:
    async with make(names=MEMBERS) as cluster:
        assert await identity(cluster, *mutants_of_identity.STAGES.values()) == []


@pytest.mark.parametrize("mutant", mutants_of_identity.MUTANTS)
async def test_a_mutant_of_the_identity_is_caught(make: Make, mutant: str) -> None:
    stage = mutants_of_identity.STAGES[mutants_of_identity.MUTANTS[mutant]]
    async with make(names=MEMBERS, MUTANT=mutant) as cluster:
        assert await identity(cluster, stage, within=AT_ONCE), "it survived"


@pytest.mark.parametrize("mutant", mutants_of_products.MUTANTS)
async def test_a_mutant_is_caught_by_what_it_does_to_products(make: Make, mutant: str) -> None:
    shown = mutants_of_products.SHOWN[mutants_of_products.MUTANTS[mutant]]
    async with make(names=MEMBERS, MUTANT=mutant) as cluster:
        found = await undisturbed(cluster, SEEDS[0])
    assert [one for one in found if shown in one.what], found
