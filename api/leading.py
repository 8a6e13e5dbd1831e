"""Where a page leads on: rows to their own page, numbers to why, names to what is called so, and other moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from msgspec import Raw

from api import pages
from api.fields import Shown, Stored
from api.query import DIFFERENCE, PREVIOUS, RATIO, parameters
from api.views import View, token

#: Of published assessments: fields that name another one of the dealer, the one that is an address already, and those
#: that were decided upon: they open up to what was seen.
OTHERS, SEEN = ("supersedes", "superseded_by"), "seen"
DECIDED = ("score", "coverage", "criteria", "deductions")
_OF_SUMS = {"sum", "by", "compare", "sort", "limit", "cursor"}  # what the rows of a group are not asked with
_OF_ANOTHER_RANGE = (PREVIOUS, DIFFERENCE, RATIO)
_MOMENT = ("valid_at", "known_at")


def leads_of_row(
    view: View,
    row: Mapping[str, Shown],
    key: Sequence[Stored],
    query: bytes,
    *,
    opens: bool,
    alone: bool = False,
) -> dict[str, str]:
    """Which field of a row leads where; with `opens`, numbers open up to why they are so.

    A row `alone` on its own page need not lead there, and its lists open up as its numbers do.
    """
    moment, why = _asked(query, (*_MOMENT, "without")), view.address(key) + _why(query)
    found = {}
    for field in view.shown:
        name, value = field.name, row[field.name]
        if value is None or (name not in view.key and _empty(value)):
            continue
        if name in view.key and not alone:
            found[name] = view.address(key) + moment
        elif field.kind == "json" and not alone:
            found[name] = f"{view.address(key)}{moment}#{name}"
        elif name in view.leads and value:
            # To a page of one row, or of none: what is named need not have been said more of.
            named = [(name, str(value)), *_kept(query, _MOMENT)]
            found[name] = f"/{view.leads[name]}?{urlencode(named)}"
        elif name in pages.SEQUENCES:
            found |= {name: f"/events/{value!s}"} if value else {}
        elif opens and name not in view.key and (field.numeric or field.kind == "json"):
            found[name] = f"{why}#{name}"
    if view.name == "published_assessments":
        found |= {name: view.address((str(row["dealer"]), str(row[name]))) for name in OTHERS if row[name]}
        seen, _, moment_seen = str(row[SEEN]).partition("?")
        if seen:
            opened = {name: f"{seen}/explain?{moment_seen}#{name}" for name in DECIDED if name in found}
            found |= {SEEN: str(row[SEEN]), **(opened if alone else {})}
    return found


def _empty(value: Shown) -> bool:
    return bytes(value) in (b"[]", b"{}", b"null") if isinstance(value, Raw) else value == ""


def leads_of_sums(
    view: View, rows: Sequence[Mapping[str, Shown]], by: Sequence[str], query: bytes
) -> list[dict[str, str]]:
    """Of each group: its names and sums lead to the rows that were added up; those of another range do not."""
    kept = [(n, value) for n, value in parameters(query) if n not in by and n not in _OF_SUMS]
    groups = [[*kept, *[(name, _said(row[name])) for name in by]] for row in rows]
    return [
        {name: f"/{view.name}?{urlencode(group)}" for name in row if not name.endswith(_OF_ANOTHER_RANGE)}
        for row, group in zip(rows, groups, strict=True)
    ]


def ways_on(view: View, row: Mapping[str, Shown], key: Sequence[Stored], query: bytes, *, opens: bool) -> str:
    """What else can be asked about a row, as HTML: why, its dealer's history, and the same at other moments."""
    address = view.address(key)
    links = [("why it says so", address + _why(query))] if opens else []
    if dealer := row.get("dealer"):
        links.append(
            (f"history of {dealer!s}", f"/dealers/{token(str(dealer))}/history{_asked(query, _MOMENT)}")
        )
    if not opens:
        return pages.ways(links, ())
    said = dict(parameters(query))
    valid, known = [[(name, said[name])] if name in said else [] for name in _MOMENT]
    moment = "a sequence, or 2026-05-01T08:00:00Z"
    return pages.ways(
        links,
        (
            pages.Form("as it was known at", address, "known_at", moment, valid),
            pages.Form("as it was true at", address, "valid_at", "2026-05-01T08:00:00Z", known),
            pages.Form("what moved it since", f"{address}/diff", "known_at", moment, [*known, *valid]),
        ),
    )


def row_address(view: View, key: Mapping[str, Any], query: bytes) -> str:
    """A row's own page at the moment asked, from its key as it is answered."""
    segments = "/".join(token(str(value)) for value in key.values())
    return f"/{view.name}/{segments}{_asked(query, (*_MOMENT, 'without'))}"


def _why(query: bytes) -> str:
    """What leads from a row's address to why it says so, at the same moment."""
    return "/explain" + _asked(query, (*_MOMENT, "without"))


def _asked(query: bytes, names: Sequence[str]) -> str:
    kept = _kept(query, names)
    return f"?{urlencode(kept)}" if kept else ""


def _kept(query: bytes, names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in parameters(query) if name in names]


def _said(value: Shown) -> str:
    """A value as a filter names it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
