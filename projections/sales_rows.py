"""Sales by dealer, day and product: what is stored of them, and the views that say whose they were."""

from __future__ import annotations

from datetime import date

from domain.numbers import ZERO, Money, Quantity
from projections.rows import Row, table, view


@table("sales_days", key=("dealer", "day", "sku", "rep", "territory", "currency"))
class SalesDay(Row):
    """What a dealer bought and sold on of one product on one day, by the stage it reached.

    `rep` and `territory` as the order states them, empty where it does not; so is `currency` where none is known.
    """

    dealer: str
    day: date
    sku: str
    rep: str
    territory: str
    currency: str
    ordered: Quantity = ZERO  # on the day of the order; of a cancelled order what was dispatched all the same
    ordered_net: Money = ZERO
    dispatched: Quantity = ZERO  # free goods too, priced in proportion to what was ordered
    dispatched_net: Money = ZERO
    accepted: Quantity = ZERO
    accepted_net: Money = ZERO
    returned: Quantity = ZERO  # to the company, on the day it came back
    returned_net: Money = ZERO
    invoiced: Quantity = ZERO  # less what credit notes gave back
    invoiced_net: Money = ZERO
    free: Quantity = ZERO  # ordered free of charge
    list_amount: Money = ZERO  # what was ordered at list price, where the order says it
    discount: Money = ZERO
    cost: Money = ZERO
    secondary: Quantity = ZERO  # sold by the dealer to outlets, on the last day of the reported period
    secondary_net: Money = ZERO
    tertiary: Quantity = ZERO  # sold by outlets to consumers
    tertiary_net: Money = ZERO


@table("dealer_days", key=("dealer", "day", "rep", "territory", "currency"))
class DealerDay(Row):
    """The same figures of all products together: every row is the sum of its sales days."""

    dealer: str
    day: date
    rep: str
    territory: str
    currency: str
    ordered: Quantity = ZERO
    ordered_net: Money = ZERO
    dispatched: Quantity = ZERO
    dispatched_net: Money = ZERO
    accepted: Quantity = ZERO
    accepted_net: Money = ZERO
    returned: Quantity = ZERO
    returned_net: Money = ZERO
    invoiced: Quantity = ZERO
    invoiced_net: Money = ZERO
    free: Quantity = ZERO
    list_amount: Money = ZERO
    discount: Money = ZERO
    cost: Money = ZERO
    secondary: Quantity = ZERO
    secondary_net: Money = ZERO
    tertiary: Quantity = ZERO
    tertiary_net: Money = ZERO
    lines: int = 0  # of the documents behind it: a day that no line stands behind is not stored


KEY = ("dealer", "day", "rep", "territory", "currency")
FIGURES = tuple(name for name in DealerDay.__struct_fields__ if name not in (*KEY, "lines"))

# Whose a sale was is asked of the intervals and not stored with it: an assignment dated back needs no rebuild, and
# one that begins today leaves past sales where they were. It is asked of each row where it is wanted, and of none
# where it is not: joined, the intervals cost every sum twice its time. A day lies in one interval at most.
TERRITORY = """COALESCE(NULLIF(s.territory, ''), (SELECT h.territory FROM territory_holdings h
  WHERE h.dealer = s.dealer AND h.from_day <= s.day AND s.day < h.to_day), '')"""
_HOLDER = """SELECT r.rep FROM rep_holdings r
  WHERE r.kind = '{0}' AND r.target = {1} AND r.from_day <= s.day AND s.day < r.to_day"""
REP = f"""COALESCE(NULLIF(s.rep, ''), ({_HOLDER.format("dealer", "s.dealer")}),
  ({_HOLDER.format("territory", TERRITORY)}), '')"""
_SUMS = ", ".join(f"s.{name}" for name in FIGURES)


@view(
    "dealer_sales",
    key=("dealer", "day", "stated_rep", "stated_territory", "currency"),
    sql=f"SELECT s.dealer, s.day, s.rep, s.territory, s.currency, {REP}, {TERRITORY}, {_SUMS} "
    "FROM dealer_days s",
)
class DealerSale(Row):
    """A dealer's sales of one day, all products together, with the rep and the territory they belong to."""

    dealer: str
    day: date
    stated_rep: str
    stated_territory: str
    currency: str
    rep: str = ""  # as stated, else who had the dealer, or its territory, on that day
    territory: str = ""  # as stated, else the one that held the dealer on that day
    ordered: Quantity = ZERO
    ordered_net: Money = ZERO
    dispatched: Quantity = ZERO
    dispatched_net: Money = ZERO
    accepted: Quantity = ZERO
    accepted_net: Money = ZERO
    returned: Quantity = ZERO
    returned_net: Money = ZERO
    invoiced: Quantity = ZERO
    invoiced_net: Money = ZERO
    free: Quantity = ZERO
    list_amount: Money = ZERO
    discount: Money = ZERO
    cost: Money = ZERO
    secondary: Quantity = ZERO
    secondary_net: Money = ZERO
    tertiary: Quantity = ZERO
    tertiary_net: Money = ZERO


@view(
    "sales",
    key=("dealer", "day", "sku", "stated_rep", "stated_territory", "currency"),
    sql=f"SELECT s.dealer, s.day, s.sku, s.rep, s.territory, s.currency, {REP}, {TERRITORY}, "
    f"COALESCE(p.name, ''), COALESCE(p.category, ''), {_SUMS} "
    "FROM sales_days s LEFT JOIN products p ON p.sku = s.sku",
    coarser="dealer_sales",
)
class Sale(Row):
    """A dealer's sales of one product on one day, with the rep, territory and category they belong to."""

    dealer: str
    day: date
    sku: str
    stated_rep: str
    stated_territory: str
    currency: str
    rep: str = ""  # as stated, else who had the dealer, or its territory, on that day
    territory: str = ""  # as stated, else the one that held the dealer on that day
    name: str = ""  # of the product as it is listed now
    category: str = ""  # of the product as it is listed now
    ordered: Quantity = ZERO
    ordered_net: Money = ZERO
    dispatched: Quantity = ZERO
    dispatched_net: Money = ZERO
    accepted: Quantity = ZERO
    accepted_net: Money = ZERO
    returned: Quantity = ZERO
    returned_net: Money = ZERO
    invoiced: Quantity = ZERO
    invoiced_net: Money = ZERO
    free: Quantity = ZERO
    list_amount: Money = ZERO
    discount: Money = ZERO
    cost: Money = ZERO
    secondary: Quantity = ZERO
    secondary_net: Money = ZERO
    tertiary: Quantity = ZERO
    tertiary_net: Money = ZERO
