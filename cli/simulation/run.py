"""The state of one simulated year while it goes by, and how its parts defer what comes later."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date
from itertools import accumulate
from random import Random

from msgspec import Struct

from cli.simulation.lots import Lots
from cli.simulation.outbox import Data, Outbox
from cli.simulation.tally import Tally
from cli.simulation.world import STORES, Dealer, Sku, dealers, products


class Line(Struct, gc=False):
    """One line of an order; money in cents."""

    line: str
    sku: Sku
    quantity: int
    price: int
    net: int
    promotion: str | None = None
    free_of: str | None = None
    accepted: int = 0


class Order(Struct, gc=False):
    """An order on its way."""

    id: str
    dealer: Dealer
    promised: Data
    lines: list[Line]
    deliveries_due: int = 1
    invoice: str | None = None


class Promotion(Struct):
    """What orders need to know of a promotion that changes prices."""

    id: str
    percent: int = 0
    buy: int = 0
    get: int = 0


class Run:
    """Everything a simulated day reads and changes; all chance comes from one seeded generator."""

    def __init__(
        self, seed: int, count: int, days: int, orders_per_day: float, first_day: date, tally: Tally
    ):
        self.rng = Random(seed)
        self.days = days
        self.tally = tally
        self.products = products()
        self.dealers = dealers(self.rng, count)
        self.outbox = Outbox(self.rng, tally, first_day, [dealer.id for dealer in self.dealers])
        self.at, self.window, self.send = self.outbox.at, self.outbox.window, self.outbox.send
        self.lots = Lots()
        self.promotions: dict[str, Promotion] = {}  # by SKU
        self._agenda: defaultdict[int, list[Callable[[int], None]]] = defaultdict(list)
        self._numbers: Counter[str] = Counter()
        self._waits: dict[str, int] = {}
        weights = [sku.weight for sku in self.products]
        self._sku_weights = list(accumulate(weights))
        self.demand = {  # base units of a day at one warehouse, as production expects them
            sku.id: orders_per_day * 4 * 28 * sku.weight / sum(weights) / (len(STORES) - 1)
            for sku in self.products
        }
        self.weigh_dealers()

    def weigh_dealers(self) -> None:
        """Take notice of dealers that have grown or left."""
        self._dealer_weights = list(accumulate(dealer.weight for dealer in self.dealers))

    def draw(self, count: int) -> list[Dealer]:
        """Draw dealers by their weight."""
        return self.rng.choices(self.dealers, cum_weights=self._dealer_weights, k=count)

    def draw_skus(self, count: int) -> list[Sku]:
        """Draw products by their weight, each once."""
        drawn = self.rng.choices(self.products, cum_weights=self._sku_weights, k=count)
        return list({sku.id: sku for sku in drawn}.values())

    def number(self, prefix: str) -> str:
        """The next number of a kind of document."""
        self._numbers[prefix] += 1
        return f"{prefix}-{self._numbers[prefix]:07d}"

    def chance(self, kind: str, one_in: float, *, within: int = 18) -> bool:
        """True once in so many times; however short the year, once `within` the first times."""
        waits = self._waits.get(kind)
        if waits is None:
            waits = self._waits[kind] = 1 + len(self._waits) * 7 % within
        if waits > 0:
            self._waits[kind] = waits - 1
            if waits == 1:
                return True
        return self.rng.random() * one_in < 1

    def later(self, day: int, deed: Callable[[int], None]) -> None:
        """Do this on a later day."""
        self._agenda[day].append(deed)

    def do_what_is_due(self, day: int) -> None:
        """Do what was put off until this day."""
        for deed in self._agenda.pop(day, ()):
            deed(day)

    def is_over(self) -> bool:
        return not self._agenda and self.outbox.is_empty()
