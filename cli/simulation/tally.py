"""What a simulated year should come to, counted by its maker while it is made."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from msgspec import Struct, field


class Tally(Struct):
    """Counts of what was published, and the figures that any right reading of it must give.

    Nothing here is read back from the events or from projections: the figures are those of the simulated
    company's own books, in which every mistake has been corrected.
    """

    #: Distinct valid events by type: repeats, conflicts and invalid ones are not among them.
    types: Counter[str] = field(default_factory=Counter)
    #: Same id, same content, same bytes: the log itself drops it within its duplicate window.
    repeats: int = 0
    #: Same id, same content, other key order and whitespace.
    reserialised: int = 0
    conflicts: int = 0
    invalid: int = 0
    late: int = 0
    restated: int = 0
    voided: int = 0
    #: Of `voided`: withdrawn under one dealer and recorded under another.
    rebooked: int = 0

    #: Standing orders, cancelled ones included.
    orders: int = 0
    cancelled: int = 0
    orders_by_dealer: Counter[str] = field(default_factory=Counter)
    #: Hundredths of the currency over the standing orders' last lines, cancelled ones included.
    net_cents: Counter[str] = field(default_factory=Counter)
    #: Base units by SKU.
    dispatched: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    #: Base units at the end, by warehouse and SKU.
    on_hand: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """Distinct valid events."""
        return self.types.total()

    @property
    def published(self) -> int:
        """Everything that was sent."""
        return self.events + self.repeats + self.reserialised + self.conflicts + self.invalid

    def net(self) -> dict[str, Decimal]:
        """Net of the standing orders by currency; currencies are never added."""
        return {currency: Decimal(cents) / 100 for currency, cents in sorted(self.net_cents.items())}
