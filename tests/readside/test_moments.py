"""Points in time are told as GraphQL tells them, however they were written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from readside.moments import moment

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EARLY, LATE = datetime(2, 1, 1), datetime(9998, 1, 1)  # noqa: DTZ001 (hypothesis wants them without a zone)


@given(st.datetimes(EARLY, LATE, timezones=st.one_of(st.just(UTC), ZONES)))
def test_a_moment_is_in_utc_and_cut_to_milliseconds(at: datetime) -> None:
    text = moment(at.isoformat())
    milliseconds = at.microsecond // 1000 * 1000
    assert len(text) == len("2026-01-02T03:04:05.678Z")
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == at.replace(microsecond=milliseconds)


def test_a_moment_without_a_fraction_has_noughts() -> None:
    assert moment("2026-01-02T03:04:05+00:00") == "2026-01-02T03:04:05.000Z"
