"""Days are local, instants sort, and intervals are half open."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import Window, business_day, earliest_day, from_microseconds, latest_day, microseconds

offsets = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
instants = st.datetimes(
    min_value=datetime(1900, 1, 2),  # noqa: DTZ001  the strategy adds the offset
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=offsets,
)


@given(instants, instants)
def test_microseconds_sort_as_the_instants_do(one: datetime, other: datetime) -> None:
    assert (microseconds(one) < microseconds(other)) == (one < other)
    assert from_microseconds(microseconds(one)) == one


def test_the_business_day_is_the_date_in_the_facts_own_offset() -> None:
    late = datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=8)))

    assert business_day(late) == date(2026, 3, 1)
    assert late.astimezone(UTC).date() == date(2026, 2, 28)


widest = st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
near = st.timedeltas(timedelta(days=-4), timedelta(days=4))


@given(instants, near, widest)
def test_what_is_true_by_an_instant_lies_between_its_days_in_any_offset(
    at: datetime, away: timedelta, offset: timezone
) -> None:
    fact = (at + away).astimezone(offset)

    if business_day(fact) < earliest_day(at):
        assert fact < at
    if fact <= at:
        assert business_day(fact) <= latest_day(at)


@given(instants, instants)
def test_a_window_ends_after_it_begins(start: datetime, end: datetime) -> None:
    body = msgspec.json.encode({"from": start, "to": end})

    if end > start:
        assert msgspec.json.decode(body, type=Window) == Window(from_=start, to=end)
    else:
        with pytest.raises(msgspec.ValidationError, match="`to` must be after `from`"):
            msgspec.json.decode(body, type=Window)
