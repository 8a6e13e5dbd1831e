"""What a late fact moved in a published card."""

from __future__ import annotations

from decimal import Decimal

from domain.assessment import Moved, moved
from domain.scoring import Judged

D = Decimal
PRICE = Judged("price", "price_breaches", D(20), D(1), None, D(10))
REGION = Judged("region", "diversions", D(20), D(0), None, D(20))


def test_what_a_fact_moves_adds_up_also_where_a_card_goes_and_comes_back() -> None:
    back = Judged("price", "price_breaches", D(20), D(0), None, D(20))

    gone, again = moved([PRICE, REGION], []), moved([], [back])

    assert gone == (Moved(code="price", part=D(-1), earned=D(-10)), Moved(code="region", earned=D(-20)))
    assert again == (Moved(code="price", earned=D(20)),)
    assert moved([PRICE], [PRICE]) == ()
