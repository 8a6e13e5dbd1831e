"""All projections, in the order they fold."""

from __future__ import annotations

from projections.deliveries import DELIVERIES
from projections.orders import ORDERS
from projections.parties import PARTIES
from projections.projection import Projection
from projections.sales import SALES
from projections.stock import STOCK

PROJECTIONS: tuple[Projection, ...] = (
    ORDERS,
    STOCK,
    SALES,
    PARTIES,
    DELIVERIES,
)
