"""All projections, in the order they fold."""

from __future__ import annotations

from projections.assessments import ASSESSMENTS
from projections.deliveries import DELIVERIES
from projections.orders import ORDERS
from projections.parties import PARTIES
from projections.policies import POLICIES
from projections.projection import Projection
from projections.promotions import PROMOTIONS
from projections.published_assessments import PUBLISHED_ASSESSMENTS
from projections.receivables import RECEIVABLES
from projections.sales import SALES
from projections.stock import STOCK
from projections.targets import TARGETS

PROJECTIONS: tuple[Projection, ...] = (
    ORDERS,
    STOCK,
    SALES,
    PARTIES,
    DELIVERIES,
    POLICIES,
    PROMOTIONS,
    RECEIVABLES,
    TARGETS,
    ASSESSMENTS,
    PUBLISHED_ASSESSMENTS,
)
