"""The fit of costs, and what follows from them. Nothing here is measured."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from . import page
from .model import Cell, Size, fit, fitted, needs, value

GB = 1e9


def cell(partitions: int, projectors: int, users: int) -> Cell:
    """As it would be if these were the costs."""
    return Cell(
        partitions=partitions,
        projectors=projectors,
        users=users,
        counted=users,
        events=4 * users,
        rebuild_seconds=0.5 + 4 * users * (5e-6 + 15e-6 / projectors),
        redis_bytes=10_000 * partitions + 2_000 * users,
        user_cpu={"API": 50.0, "Redis": 5.0},
        page_cpu={"API": 100.0 + partitions, "Redis": 10.0 + 2 * partitions},
        command_cpu={
            "API": 60.0,
            "PostgreSQL": 80.0,
            "relay": 10.0,
            "projectors": 30.0,
            "Redis": 20.0,
        },
        commands_per_second=5_000.0,
        lag_p50=1.5,
        lag_p99=3.0 + 0.01 * partitions,
    )


MEASURED = [
    cell(partitions, projectors, users)
    for partitions in (8, 16, 64)
    for projectors in (1, 2)
    for users in (10_000, 100_000)
]


def test_costs_that_are_lines_are_found_and_hold_beyond_what_was_measured() -> None:
    model = fitted(MEASURED)
    beyond, known = model.cell(Size(128, 8, 10**8, 4 * 10**8)), cell(128, 8, 10**8)
    assert beyond.rebuild_seconds == pytest.approx(known.rebuild_seconds, rel=1e-6)
    assert beyond.redis_bytes == pytest.approx(known.redis_bytes, rel=1e-6)
    assert beyond.page_cpu == pytest.approx(known.page_cpu)
    assert beyond.command_cpu == pytest.approx(known.command_cpu)
    assert beyond.lag_p99 == pytest.approx(known.lag_p99)


def test_a_term_that_would_be_negative_is_left_out() -> None:
    points = [(Size(number, 1, 1, 1), 10.0 - number / 10) for number in (8, 16, 64)]
    found = fit(("constant", "partitions"), points)
    assert set(found) == {"constant"}
    assert 3 < value(found, Size(8, 1, 1, 1)) < 10


def test_terms_that_cannot_be_told_apart_are_fitted_as_one() -> None:
    points = [(Size(8, 1, users, 4 * users), 2.0 * users) for users in (10, 100)]
    found = fit(("users", "events"), points)
    assert value(found, Size(8, 1, 1000, 4000)) == pytest.approx(2000)


def test_what_was_not_measured_has_no_model() -> None:
    assert fit(("constant",), [(Size(8, 1, 1, 1), 0.0)]) == {}
    with pytest.raises(ValueError, match="nothing was measured"):
        fitted([])


def test_the_part_that_the_fewest_users_fill_saturates_first() -> None:
    found = needs(fitted(MEASURED), 10**8, 64)
    known = {need.part: need for need in found}
    assert [need.limit for need in found] == sorted(need.limit for need in found)
    memory, relay = known["Redis memory"], known["relay"]
    assert memory.users == pytest.approx(0.7 * 64 * GB / 2000, rel=0.01)
    assert memory.units == pytest.approx(10**8 / memory.users)
    assert memory.limit == pytest.approx(64 * memory.users)
    assert relay.units == pytest.approx(10**8 * 10e-6 * 3 / 86_400 / 0.7)
    assert relay.limit == relay.users


def test_throughput_is_that_of_the_process_which_fills_its_core_first() -> None:
    model = fitted(MEASURED)
    assert model.cell(Size(8, 1, 10**6, 4 * 10**6)).commands_per_second == pytest.approx(1e6 / 30)
    assert model.cell(Size(8, 8, 10**6, 4 * 10**6)).commands_per_second == pytest.approx(1e6 / 20)


def test_the_page_marks_what_is_modelled_and_names_what_saturates() -> None:
    text = page.section(MEASURED, "Run today:")
    assert "| 10,000 | 8 | 1 | 1.5, 3.1 | 5,000 | 10 | 30 | 20 |" in text
    assert "| 100,000 | 64 | 8 | *1.5, 3.6* |" in text
    assert "On one Redis **Redis memory saturates first**" in text
    drawn = ET.fromstring(page.svg(MEASURED))
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}circle"))) == len(MEASURED)
