"""How the sources write figures and lots."""

from __future__ import annotations

from cli.simulation.lots import Lot
from cli.simulation.outbox import Data
from cli.simulation.run import Run
from cli.simulation.world import Dealer, Sku


def money(cents: int, dealer: Dealer) -> str | float:
    """As the dealer's ERP writes it: one as a string, the other as a JSON number, which it prints exactly."""
    return cents / 100 if dealer.erp == "erp.south" else f"{cents // 100}.{cents % 100:02d}"


def quantity(units: int, dealer: Dealer) -> str | float:
    """As the dealer's ERP writes it."""
    return units if dealer.erp == "erp.south" else str(units)


def lot(run: Run, of: Lot, sku: Sku | None = None) -> Data:
    """The lot's members of a line, if goods bear one; with a product also when it expires."""
    if of.id is None:
        return {}
    told: Data = {"lot": of.id, "produced": run.at(of.produced)}
    if sku is not None:
        told["expires"] = run.at(of.produced + sku.shelf_life_days)
    return told
