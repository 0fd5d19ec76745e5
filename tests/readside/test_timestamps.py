"""Points in time are kept as GraphQL shows them, or as milliseconds that lead back to that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.value_parsing import MONEY_LIMIT
from readside.timestamps import from_epoch_millis, to_epoch_millis, to_rfc3339_millis

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EARLY, LATE = datetime(2, 1, 1), datetime(9998, 1, 1)  # noqa: DTZ001 (hypothesis wants them without a zone)


@given(st.datetimes(EARLY, LATE, timezones=st.one_of(st.just(UTC), ZONES)))
def test_a_moment_is_in_utc_and_cut_to_milliseconds(at: datetime) -> None:
    text = to_rfc3339_millis(at)
    thousands = at.microsecond // 1000 * 1000
    assert len(text) == len("2026-01-02T03:04:05.678Z")
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == at.replace(microsecond=thousands)
    assert from_epoch_millis(to_epoch_millis(text)) == text


def test_a_moment_without_a_fraction_has_noughts() -> None:
    assert (
        to_rfc3339_millis(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000Z"
    )


def test_milliseconds_of_an_order_of_any_price_fit_into_a_compact_set() -> None:
    """Redis keeps members of 64 bytes and less in a compact form."""
    member = f"{UUID(int=0)} {MONEY_LIMIT - 1} {to_epoch_millis('2026-01-02T03:04:05.678Z')}"
    assert len(member) <= 64
