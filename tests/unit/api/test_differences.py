"""Lists within rows, compared item by item: what each item moved by adds up, whatever came between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from api.differences import Difference, changes_of, flat, items_of
from api.fields import Field
from domain.scoring import Judged

CRITERIA = Field("criteria", "json", False, tuple[Judged, ...])


class Sold(Struct):
    """Named by its first text, which is not its first field."""

    place: int
    sku: str
    net: Decimal


SOLD = Field("sold", "json", False, tuple[Sold, ...])
numbers = st.none() | st.decimals(-1000, 1000, places=6)
judged = st.builds(
    Judged,
    code=st.sampled_from(["a", "b", "a #2"]),
    figure=st.just("f"),
    points=st.decimals(0, 100, places=2),
    part=numbers,
    whole=numbers,
    earned=numbers,
    reason=st.sampled_from(["", "no data"]),
)


def stored(of: Sequence[Struct]) -> str:
    return msgspec.json.encode(of).decode()


def parts(before: str | None, after: str | None) -> Mapping[str, Any]:
    [change] = changes_of([CRITERIA], {"criteria": before}, {"criteria": after}).values()
    assert isinstance(change.parts, dict)
    return change.parts


@given(st.lists(st.lists(judged, max_size=4), min_size=1, max_size=5))
def test_what_moved_each_number_of_a_list_adds_up_to_it(states: list[list[Judged]]) -> None:
    cards = [None, *map(stored, states)]

    added: dict[tuple[str, str], Decimal] = {}
    for before, after in pairwise(cards):
        if before != after:
            for item, fields in parts(before, after).items():
                for name, change in fields.items():
                    if change.difference is not None:
                        key = item, name
                        added[key] = added.get(key, Decimal(0)) + Decimal(change.difference)

    last = items_of(CRITERIA, cards[-1])
    said = {(item, name): one for item, fields in last.items() for name, one in fields.items()}
    for key, one in said.items():
        if isinstance(one, Decimal):
            assert added.get(key, Decimal(0)) == one, key
    assert all(value == 0 for key, value in added.items() if said.get(key) is None)


def test_only_what_differs_is_a_part() -> None:
    one, two = Judged("a", "f", Decimal(10), Decimal(1)), Judged("b", "f", Decimal(5))
    moved = Judged("a", "f", Decimal(10), Decimal("1.5"), None, Decimal(3))

    found = parts(stored([one, two]), stored([moved, two]))

    assert found == {"a": {"part": Difference("1", "1.5", "0.5"), "earned": Difference(None, "3", "3")}}


def test_items_are_called_by_their_first_text_and_twins_are_told_apart() -> None:
    items = items_of(SOLD, stored([Sold(7, "COLA", Decimal(2)), Sold(8, "COLA", Decimal(3))]))

    assert items == {"COLA": {"place": 7, "net": Decimal(2)}, "COLA #2": {"place": 8, "net": Decimal(3)}}


def test_differences_of_lists_are_named_by_what_leads_to_them() -> None:
    before, after = stored([Judged("a", "f", Decimal(1))]), stored([Judged("a", "f", Decimal(2))])

    [(name, change)] = flat(changes_of([CRITERIA], {"criteria": before}, {"criteria": after}))

    assert (name, change.difference) == ("criteria.a.points", "1")
