"""A seeded year of a beverage maker, day by day, as its systems publish it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

from cli.simulation.field import SHARE_OF_ORDERS, see
from cli.simulation.fortunes import change_dealers
from cli.simulation.opening import open_books
from cli.simulation.orders import place_order
from cli.simulation.outbox import LEAD_DAYS, Published
from cli.simulation.planning import close_month, plan_month, plan_promotion
from cli.simulation.run import Run
from cli.simulation.tally import Tally
from cli.simulation.warehouse import count_warehouses, produce, report_dealer, shift
from cli.simulation.world import STORES

FIRST_DAY = date(2025, 1, 1)
ORDERS_PER_DEALER_DAY = 1.05
EVENTS_PER_ORDER = 8.55  # measured, like those below: all that follows from it, and its visits
EVENTS_PER_DEALER = 16
EVENTS_PER_DEALER_DAY = 0.36
EVENTS_PER_DAY = 3
EVENTS_OF_THE_COMPANY = 190
_WEEK = (1.2, 1.15, 1.1, 1.1, 1.25, 0.8, 0.4)  # Monday first
_MONTHS = (0.9, 0.75, 0.85, 0.95, 1.05, 1.2, 1.3, 1.25, 1.1, 0.95, 0.8, 0.9)


def events(
    seed: int = 1,
    *,
    dealers: int = 300,
    days: int = 365,
    orders_per_day: float | None = None,
    events: int | None = None,
    first_day: date = FIRST_DAY,
    tally: Tally | None = None,
) -> Iterator[Published]:
    """Yield what the sources publish, in the order they publish it; the same arguments give the same bytes.

    `events` asks for about so many instead of saying dealers, days and orders. `tally` is filled on the way
    and is right once the iterator has ended. After the last day no more is ordered, but what is under way
    arrives and is paid, so that the stream ends some ten weeks later.
    """
    if events is not None:
        dealers, days, orders_per_day = size(events)
    rate = dealers * ORDERS_PER_DEALER_DAY if orders_per_day is None else orders_per_day
    run = Run(seed, dealers, days, rate, first_day, tally if tally is not None else Tally())
    months = _months(first_day, days)
    pace = [_pace(first_day + timedelta(days=day)) for day in range(days)]
    mean = sum(pace) / days
    for day in range(-LEAD_DAYS, days):
        _plan(run, day, months)
        if day >= 0:
            _trade(run, day, rate * pace[day] / mean)
        if any(day == end - 1 for _, end in months):
            count_warehouses(run, day)
        yield from run.outbox.due(day)
    while not run.is_over():
        day += 1
        run.do_what_is_due(day)
        yield from run.outbox.due(day)
    run.tally.on_hand = {
        (store, sku.id): run.lots.on_hand(store, sku.id) for store in STORES for sku in run.products
    }


def size(events: int) -> tuple[int, int, float]:
    """Dealers, days and orders a day that make about so many events, and a fair number of each."""
    dealers = max(12, min(300, int(events**0.5 * 0.4)))
    days = max(35, min(365, events // (dealers * 8)))
    fixed = (
        EVENTS_OF_THE_COMPANY
        + dealers * EVENTS_PER_DEALER
        + days * (dealers * EVENTS_PER_DEALER_DAY + EVENTS_PER_DAY)
    )
    return dealers, days, max(1.0, (events - fixed) / EVENTS_PER_ORDER / days)


def _months(first_day: date, days: int) -> list[tuple[int, int]]:
    """First day and end of every month that begins in the time."""
    first = date(first_day.year, first_day.month, 1)
    starts = []
    while (start := (first - first_day).days) < days + 31:
        starts.append(start)
        first = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return list(pairwise(starts))


def _plan(run: Run, day: int, months: list[tuple[int, int]]) -> None:
    if day == -LEAD_DAYS:
        open_books(run, day)
    for start, end in months:
        if day == start - 20:
            plan_promotion(run, day, start, end)
        if day == start - 3:
            plan_month(run, day, start, end)
        if day == end:
            close_month(run, day, start)


def _pace(day: date) -> float:
    return _WEEK[day.weekday()] * _MONTHS[day.month - 1]


def _trade(run: Run, day: int, expected: float) -> None:
    for number, dealer in enumerate(run.dealers):
        if number % 7 == day % 7 and day >= 7:
            report_dealer(run, day, dealer, day // 7)
    produce(run, day)
    orders = int(expected + run.rng.random())
    for dealer in run.draw(orders):
        place_order(run, day, dealer)
    see(run, day, int(orders * SHARE_OF_ORDERS + run.rng.random()))
    change_dealers(run, day)
    shift(run, day)
    run.do_what_is_due(day)
