"""Every event type of the wire contract, in one catalogue."""

from __future__ import annotations

from domain import corrections, deliveries, orders, stock
from domain.catalogue import TYPES, Catalogue

__all__ = ["CATALOGUE", "MODULES"]

#: The modules that enter their types into the catalogue when they are imported.
MODULES = (orders, deliveries, stock, corrections)

CATALOGUE = Catalogue(TYPES)
