"""Ranges are half-open, and what one is compared with is as long, whole months by whole months."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.fields import Field
from api.windows import Range, compared, read_bound

DAY = Field("day", "day", False, date)
AT = Field("at", "instant", False, datetime)
DAYS = st.dates(date(1990, 1, 1), date(2060, 1, 1))


@given(DAYS, st.integers(1, 2000))
def test_the_range_before_ends_where_this_one_begins(since: date, length: int) -> None:
    this = Range(since, since + timedelta(days=length))

    before = compared("previous", this)
    assert before.until == this.since
    assert before.since is not None
    if this.since is not None and (this.since.day, this.until and this.until.day) != (1, 1):
        assert this.since - before.since == timedelta(days=length)


@given(st.integers(1990, 2060), st.integers(1, 12), st.integers(1, 30))
def test_whole_months_go_back_by_whole_months(year: int, month: int, length: int) -> None:
    def first(months: int) -> date:
        return date(months // 12, months % 12 + 1, 1)

    number = year * 12 + month - 1
    this = Range(first(number), first(number + length))

    assert compared("previous", this) == Range(first(number - length), first(number))
    assert compared("year", this) == Range(first(number - 12), first(number - 12 + length))


@given(DAYS, st.integers(1, 2000))
def test_a_year_earlier_is_never_empty_and_at_most_a_day_shorter_or_longer(since: date, length: int) -> None:
    before = compared("year", Range(since, since + timedelta(days=length)))

    assert before.since is not None
    assert before.until is not None
    assert (before.until - before.since).days >= 1
    assert abs((before.until - before.since).days - length) <= 1
    assert 365 <= (since - before.since).days <= 366


def test_the_day_that_other_years_do_not_have_is_compared_with_the_last_of_february() -> None:
    leap = Range(date(2024, 2, 29), date(2024, 3, 1))

    assert compared("year", leap) == Range(date(2023, 2, 28), date(2023, 3, 1))


def test_months_of_instants_are_months_in_utc() -> None:
    march = Range(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
    china = timezone(timedelta(hours=8))
    there = Range(read_bound(AT, "2026-03-01T00:00:00+08:00"), read_bound(AT, "2026-04-01T00:00:00+08:00"))

    assert compared("previous", march).since == datetime(2026, 2, 1, tzinfo=UTC)
    assert compared("previous", there).since == datetime(2026, 1, 29, tzinfo=china)


@pytest.mark.parametrize("way", ["previous", "year"])
def test_what_lies_before_the_calendar_is_no_range(way: str) -> None:
    with pytest.raises(ValueError, match="calendar"):
        compared(way, Range(date(1, 1, 1), date(1, 12, 5)))


def test_a_bound_is_a_day_or_where_there_is_a_time_of_day_an_instant() -> None:
    assert read_bound(DAY, "2026-05-01") == date(2026, 5, 1)
    assert read_bound(AT, "2026-05-01") == datetime(2026, 5, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="no time of day"):
        read_bound(DAY, "2026-05-01T00:00:00Z")
    for wrong in ("2026-02-30", "", "May", "2026-5-1"):
        with pytest.raises(ValueError, match=r"."):
            read_bound(AT, wrong)
