"""The company's own books of goods: what lies where, by lot, first in first out."""

from __future__ import annotations

from collections import defaultdict

from msgspec import Struct


class Lot(Struct, gc=False):
    """A quantity of one lot at one place; `id` is None where goods bear none."""

    id: str | None
    produced: int  # day
    quantity: int


class Lots:
    """What lies at each location. Goods come from `put` and go by `take`, and nothing else changes them."""

    def __init__(self) -> None:
        self._lots: defaultdict[tuple[str, str], list[Lot]] = defaultdict(list)

    def put(self, location: str, sku: str, lot: str | None, produced: int, quantity: int) -> None:
        for known in self._lots[location, sku]:
            if known.id == lot:
                known.quantity += quantity
                return
        self._lots[location, sku].append(Lot(lot, produced, quantity))

    def take(self, location: str, sku: str, quantity: int, *, overdrawn: bool = False) -> list[Lot]:
        """Take as much as there is, oldest first; `overdrawn` takes all, and the books go below zero."""
        here = self._lots[location, sku]
        taken: list[Lot] = []
        for lot in here:
            all_of_it = overdrawn and lot is here[-1]
            part = quantity if all_of_it else min(quantity, max(lot.quantity, 0))
            if part:
                taken.append(Lot(lot.id, lot.produced, part))
                lot.quantity -= part
                quantity -= part
            if not quantity:
                break
        self._lots[location, sku] = [lot for lot in here if lot.quantity]
        return taken

    def on_hand(self, location: str, sku: str) -> int:
        return sum(lot.quantity for lot in self._lots.get((location, sku), ()))

    def of(self, location: str, sku: str) -> list[Lot]:
        return self._lots.get((location, sku), [])

    def drop_negative(self, location: str, sku: str) -> None:
        """Believe a count: what was booked below zero is none."""
        self._lots[location, sku] = [lot for lot in self.of(location, sku) if lot.quantity > 0]
