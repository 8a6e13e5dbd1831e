"""Every event type of the wire contract, in one catalogue."""

from __future__ import annotations

from domain import (
    assessment,
    contracts,
    corrections,
    dealers,
    deliveries,
    field,
    gaps,
    orders,
    plans,
    promotions,
    stock,
    territories,
)
from domain.catalogue import TYPES, Catalogue

__all__ = ["CATALOGUE", "MODULES"]

#: The modules that enter their types into the catalogue when they are imported.
MODULES = (
    orders,
    deliveries,
    stock,
    dealers,
    territories,
    contracts,
    field,
    promotions,
    plans,
    assessment,
    gaps,
    corrections,
)

CATALOGUE = Catalogue(TYPES)
