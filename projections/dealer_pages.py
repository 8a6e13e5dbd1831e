"""One row for every dealer: who it is, where it stands, and what it did lately."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from msgspec import Struct

from domain.calendar import EPOCH, latest_day
from domain.numbers import ZERO, Money, text
from projections.assignments import Holding
from projections.contracts import IN_FORCE, Contract, status_on
from projections.dealer_performance import attained, last_cards
from projections.dealers import DealerSpan, DealerState
from projections.holdings import FOREVER, NEVER
from projections.outlets import Location
from projections.reps import RepHolding
from projections.rows import Row, Tables, view
from projections.sales_rows import DealerDay
from projections.stock_levels import levels_at
from projections.stock_rows import StockLevel

R = TypeVar("R", bound=Row)
Filters = Mapping[str, Sequence[Any]]
MONTH_DAYS, YEAR_DAYS = 30, 365
RESOLUTION = timedelta.resolution


# More than a thousand million of one lot is added up roughly: SQLite has no integers of any size.
_HELD = """SUM(CASE WHEN on_hand BETWEEN -1000000000000000 AND 1000000000000000 THEN on_hand
ELSE CAST(REPLACE(CAST(on_hand AS TEXT), '_', '') AS NUMERIC) * 1.0 END)"""


@view(
    "barred_orders",
    key=("dealer", "order"),
    sql=(
        'SELECT o.dealer, o."order", o.placed, o.day, s.status, s.since, o.status, o.currency, o.net'
        " FROM orders o JOIN dealer_spans s ON s.dealer = o.dealer"
        " AND s.since <= o.placed AND (s.until IS NULL OR o.placed < s.until)"
        " WHERE s.status IN ('suspended', 'banned', 'exited', 'declined', 'merged')"
    ),
    appears="placed",
)
class BarredOrder(Row):
    """An order that was placed while its dealer was suspended, banned, declined, merged away or gone."""

    dealer: str
    order: str
    placed: datetime | None = None
    day: date | None = None
    dealer_status: str = ""  # when the order was placed
    dealer_since: datetime | None = None
    status: str = ""  # of the order
    currency: str = ""
    net: Money = ZERO


@view(
    "order_days",
    key=("dealer", "day"),
    sql=(
        "SELECT dealer, day, COUNT(*) FROM orders"
        " WHERE day IS NOT NULL AND status <> '' AND status <> 'cancelled' GROUP BY dealer, day"
    ),
)
class OrderDay(Row):
    """How many orders a dealer placed on a day, without those cancelled since."""

    dealer: str
    day: date
    orders: int = 0


@view(
    "dealer_orders",
    key=("dealer",),
    sql=(
        "SELECT dealer, COUNT(*), MAX(day) FROM orders"
        " WHERE day IS NOT NULL AND status <> '' AND status <> 'cancelled' GROUP BY dealer"
    ),
)
class DealerOrders(Row):
    """How many orders a dealer ever placed, without those cancelled since, and when the last."""

    dealer: str
    orders: int = 0
    last_order: date | None = None


@view(
    "location_stocks",
    key=("location",),
    sql=(
        "SELECT location, SUM(CASE WHEN held > 0 THEN 1 ELSE 0 END), SUM(CASE WHEN held < 0 THEN 1 ELSE 0 END)"
        f" FROM (SELECT location, sku, {_HELD} AS held FROM stock_levels GROUP BY location, sku) AS products"
        " GROUP BY location"
    ),
)
class LocationStock(Row):
    """How many SKUs a location has, and of how many less than nothing, as it stands."""

    location: str
    skus: int = 0
    negative: int = 0


@view(
    "open_flags",
    key=("dealer", "kind"),
    sql="SELECT dealer, kind, COUNT(*) FROM flags WHERE cleared IS NULL GROUP BY dealer, kind",
)
class OpenFlags(Row):
    """How many flags of a kind are raised about a dealer and not settled."""

    dealer: str
    kind: str
    flags: int = 0


class RecentSales(Struct, frozen=True, gc=False):
    """Net amounts in one currency, of the last 30 and of the last 365 days."""

    currency: str
    ordered_30: Money
    ordered_365: Money
    dispatched_30: Money
    dispatched_365: Money
    returned_30: Money
    returned_365: Money


class TerritorySpan(Struct, frozen=True, gc=False):
    """The days on which a dealer belonged to a territory; without a beginning or an end where none was said."""

    territory: str
    from_day: date | None = None
    to_day: date | None = None


_SALES = ("ordered_net", "dispatched_net", "returned_net")


@view("dealers", key=("dealer",))
class Dealer(Row):
    """A dealer at a glance: its status, territory, contract, orders, sales, target, last card, stock and flags.

    Days are counted up to that of the instant asked about. Stock and flags are as they stood then. The target is the
    sum of its own base ones of amount that run on the day, of months rather than quarters; the card is that of the
    quarter before, under the policy that ruled it.
    """

    dealer: str
    name: str = ""
    kind: str = ""
    status: str = ""  # nothing where it has only ordered
    status_since: datetime | None = None
    grade: str = ""
    parent: str = ""
    segment: str = ""
    territory: str = ""
    territory_since: date | None = None  # nothing where master data never said another
    territories: tuple[TerritorySpan, ...] = ()  # over time, also what is to come
    rep: str = ""  # of the dealer, else of its territory
    contract: str = ""  # of those in force the one that ends last
    contract_until: date | None = None  # nothing where it has no end
    orders: int = 0
    last_order: date | None = None
    sales: tuple[RecentSales, ...] = ()
    target_from: date | None = None
    target_to: date | None = None
    target_currency: str = ""
    target_value: Money | None = None  # nothing where it has none, or in several currencies
    target_actual: Money | None = None
    attainment: Decimal | None = None  # actual / value
    last_period: str = ""  # the last closed quarter, where it has a card
    last_policy: str = ""
    last_score: Decimal | None = None
    last_grade: str = ""
    stock_skus: int = 0
    stock_negative: int = 0
    flags: int = 0


VIEWS = (BarredOrder, OrderDay, DealerOrders, LocationStock, OpenFlags)


def dealers_at(tables: Tables, at: datetime, filters: Filters) -> Iterator[Dealer]:
    """Every dealer of those asked for, or of all, as it was at an instant.

    What day it is, is said by that instant's own offset; what is true by then counts though it is dated a day on.
    """
    wanted = {"dealer": filters["dealer"]} if "dealer" in filters else {}
    day = at.date()
    orders = _orders(tables, latest_day(at), wanted)
    states = {state.dealer: state for state in tables.select(DealerState, **wanted)}
    spans = _by_dealer(tables.select(DealerSpan, **wanted))
    spells = _by_dealer(tables.select(Holding, **wanted))
    holdings = {h.dealer: h for held in spells.values() for h in held if h.from_day <= day < h.to_day}
    reps = {
        (r.kind, r.target): r.rep
        for r in tables.select(RepHolding, kind=("dealer", "territory"))
        if r.from_day <= day < r.to_day
    }
    contracts = _by_dealer(c for c in tables.select(Contract, **wanted) if status_on(c, day) == IN_FORCE)
    sales, stock = _sales(tables, day, latest_day(at), wanted), _stock(tables, at, wanted)
    goals, cards = attained(tables, at, filters), last_cards(tables, at, filters)
    flags: dict[str, int] = dict(tables.sums(OpenFlags, ("dealer",), ("flags",), **wanted))
    for dealer in sorted({*states, *orders}):
        span = next((s for s in reversed(spans.get(dealer, [])) if s.since <= at), None)
        placed, last = orders.get(dealer, (0, None))
        if span is None and spans.get(dealer) and not placed:
            continue  # known only later
        state = states.get(dealer) or DealerState(dealer)
        holding = holdings.get(dealer)
        territory = holding.territory if holding is not None else ""
        contract = max(contracts.get(dealer, []), key=lambda c: (c.to_day, c.contract), default=None)
        skus, negative = stock.get(dealer, (0, 0))
        goal, card = goals.get(dealer), cards.get(dealer)
        yield Dealer(
            dealer,
            name=state.name,
            kind=state.kind,
            status=span.status if span is not None else "",
            status_since=span.since if span is not None else None,
            grade=state.grade,
            parent=state.parent,
            segment=state.segment,
            territory=territory,
            territory_since=holding.from_day if holding is not None and holding.from_day > NEVER else None,
            territories=tuple([_span(held) for held in spells.get(dealer, ())]),
            rep=reps.get(("dealer", dealer)) or reps.get(("territory", territory), ""),
            contract=contract.contract if contract is not None else "",
            contract_until=contract.to_day if contract is not None and contract.to_day < FOREVER else None,
            orders=placed,
            last_order=last,
            sales=tuple(sales.get(dealer, ())),
            target_from=goal.from_day if goal is not None else None,
            target_to=goal.to_day if goal is not None else None,
            target_currency=goal.currency if goal is not None else "",
            target_value=goal.value if goal is not None else None,
            target_actual=goal.actual if goal is not None else None,
            attainment=goal.attainment if goal is not None else None,
            last_period=card.period if card is not None else "",
            last_policy=card.policy if card is not None else "",
            last_score=card.score if card is not None else None,
            last_grade=card.grade if card is not None else "",
            stock_skus=skus,
            stock_negative=negative,
            flags=flags.get(dealer, 0),
        )


def _by_dealer(rows: Iterable[R]) -> dict[str, list[R]]:
    found: dict[str, list[R]] = {}
    for row in rows:
        found.setdefault(row.dealer, []).append(row)  # type: ignore[attr-defined]
    return found


def _span(held: Holding) -> TerritorySpan:
    return TerritorySpan(
        held.territory,
        held.from_day if held.from_day > NEVER else None,
        held.to_day if held.to_day < FOREVER else None,
    )


def _orders(tables: Tables, day: date, wanted: Filters) -> dict[str, tuple[int, date | None]]:
    """Orders placed up to a day and the day of the last. Day by day only where there are later ones."""
    found: dict[str, tuple[int, date | None]] = {}
    beyond = []
    for row in tables.select(DealerOrders, **wanted):
        found[row.dealer] = row.orders, row.last_order
        if row.last_order is not None and row.last_order > day:
            beyond.append(row.dealer)
            del found[row.dealer]
    for one in tables.select(OrderDay, dealer=beyond) if beyond else ():
        if one.day <= day:
            found[one.dealer] = found.get(one.dealer, (0, None))[0] + one.orders, one.day
    return found


def _sales(tables: Tables, day: date, latest: date, wanted: Filters) -> dict[str, list[RecentSales]]:
    """Of the days before an instant, those that its own offset counts, and what is dated a day on elsewhere."""
    found: dict[str, list[RecentSales]] = {}
    firsts = [date.fromordinal(max(1, day.toordinal() - count + 1)) for count in (MONTH_DAYS, YEAR_DAYS)]
    month, years = [_sums(tables, first, latest, wanted) for first in firsts]
    for (dealer, currency), year in years.items():
        if any(year):
            lately = month.get((dealer, currency), (ZERO, ZERO, ZERO))
            both = [amount for pair in zip(lately, year, strict=True) for amount in pair]
            found.setdefault(dealer, []).append(RecentSales(currency, *both))
    return found


def _sums(
    tables: Tables, first: date, last: date, wanted: Filters
) -> dict[tuple[str, str], tuple[Money, ...]]:
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return {
        (dealer, currency): tuple([Decimal(text(amount)) for amount in amounts])  # 25, not 25.000000
        for dealer, currency, *amounts in tables.sums(
            DealerDay, ("dealer", "currency"), _SALES, day=days, **wanted
        )
    }


def _stock(tables: Tables, at: datetime, wanted: Filters) -> dict[str, tuple[int, int]]:
    """SKUs on hand and below zero, at the dealer's own name and at locations registered for it."""
    places: Filters = {}
    if wanted:
        own = {held.location for held in tables.select(Location, **wanted)}
        places = {"location": sorted({*wanted["dealer"], *own})}
    owner = {held.location: held.dealer for held in tables.select(Location, **places) if held.dealer}
    counted = {row.location: (row.skus, row.negative) for row in tables.select(LocationStock, **places)}
    due = {
        level.location for level in tables.select(StockLevel, ("due_at", EPOCH, at + RESOLUTION), **places)
    }
    if due:
        counted |= _counted(levels_at(tables, at, {"location": sorted(due)}))
    found: dict[str, tuple[int, int]] = {}
    for location, (skus, negative) in counted.items():
        dealer = owner.get(location, location)
        before = found.get(dealer, (0, 0))
        found[dealer] = before[0] + skus, before[1] + negative
    return found


def _counted(levels: Iterable[StockLevel]) -> dict[str, tuple[int, int]]:
    """How many SKUs a location has, and of how many less than nothing."""
    held: dict[str, dict[str, Decimal]] = {}
    for level in levels:
        skus = held.setdefault(level.location, {})
        skus[level.sku] = skus.get(level.sku, ZERO) + level.on_hand
    return {
        location: (
            sum(on_hand > ZERO for on_hand in skus.values()),
            sum(on_hand < ZERO for on_hand in skus.values()),
        )
        for location, skus in held.items()
    }
