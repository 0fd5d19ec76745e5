"""The summaries that the benchmark prints."""

from __future__ import annotations

import pytest

from .figures import Latency, summarise


def test_a_summary_gives_percentiles_in_milliseconds() -> None:
    latency = summarise([number / 1000 for number in range(101)])
    assert latency is not None
    assert latency.p50 == pytest.approx(50)
    assert latency.p99 == pytest.approx(99)
    assert latency.max == pytest.approx(100)


def test_one_measurement_is_its_own_percentiles() -> None:
    assert summarise([0.002]) == Latency(p50=2.0, p99=2.0, max=2.0)


def test_nothing_measured_has_no_summary() -> None:
    assert summarise([]) is None
