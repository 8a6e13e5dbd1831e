"""What counts as a sale is said by name, and every answer can say which it used."""

from __future__ import annotations

import pytest

from domain.recognition import (
    DISPATCHED,
    ORDERED,
    STAGES,
    Recognition,
    RecognitionError,
    default,
    recognition,
)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("net", [True, False])
def test_a_recognition_is_read_back_from_its_own_name(stage: str, net: bool) -> None:
    named = recognition(f"{stage}, net of returns" if net else f"{stage} gross")

    assert named == Recognition(named.stage, net)
    assert named.stage == stage
    assert recognition(str(named)) == named


def test_what_is_dispatched_is_counted_net_of_returns_and_what_is_ordered_is_not() -> None:
    assert recognition("dispatched").amount() == (("dispatched_net", 1), ("returned_net", -1))
    assert recognition("ordered").quantity() == (("ordered", 1),)


def test_without_deliveries_the_order_is_the_sale() -> None:
    assert default(delivers=False) == ORDERED
    assert default(delivers=True) == DISPATCHED


def test_another_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(RecognitionError, match="ordered, dispatched, accepted, invoiced"):
        recognition("shipped")
