"""A page is written in JSON without a detour; what it says is what its fields show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from api.answers import page_json
from api.fields import Field
from api.reading import Page, shown

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
INTEGERS = st.integers(-(2**63), 2**63 - 1)
DAYS = st.dates().map(lambda day: day.isoformat())
JSON = st.recursive(st.none() | st.booleans() | TEXTS, st.lists).map(
    lambda v: msgspec.json.encode(v).decode()
)
STORED: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "integer": INTEGERS,
    "boolean": st.booleans() | st.integers(0, 1),
    "decimal": INTEGERS,
    "instant": st.integers(-(2**55), 2**57),
    "day": DAYS,
    "json": JSON,
}
FIELDS = [Field(f"{kind}_{place}", kind, True, str) for place in (1, 2) for kind in STORED]
ROW = st.tuples(*[st.none() | STORED[field.kind] for field in FIELDS])
CURSOR = st.none() | st.text("abcdefghijklmnopqrstuvwxyz-_0123456789", min_size=1)


@given(st.lists(ROW, max_size=5), CURSOR)
def test_a_page_in_json_says_what_its_fields_show(rows: list[tuple[Any, ...]], cursor: str | None) -> None:
    page = Page(FIELDS, rows, cursor, 1, datetime(2026, 1, 1, tzinfo=UTC))

    said = msgspec.json.decode(page_json(page))

    assert said == msgspec.json.decode(msgspec.json.encode({"items": shown(page), "next": cursor}))
