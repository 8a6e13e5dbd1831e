"""Where a page leads on: rows to their own page, numbers to why, names to what is called so, and other moments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from msgspec import Raw

from api import pages
from api.fields import Shown, Stored
from api.query import DIFFERENCE, PREVIOUS, RATIO, parameters
from api.views import View, token

#: By what a question names a moment, and what goes along with it.
MOMENT, WITHOUT = ("valid_at", "known_at"), "without"
HISTORY_MAX = 1000  # messages of a history that a link asks for
#: Of published assessments: fields that name another one of the dealer, the one that is an address already, and those
#: that were decided upon: they open up to what was seen.
PUBLISHED, OTHERS, SEEN = "published_assessments", ("supersedes", "superseded_by"), "seen"
DECIDED = ("score", "coverage", "criteria", "deductions")
BUILT_IN = "built_in"  # the field of what no event made
_OF_SUMS = {"sum", "by", "compare", "sort", "limit", "cursor"}  # what the rows of a group are not asked with
_OF_ANOTHER_RANGE = (PREVIOUS, DIFFERENCE, RATIO)


class Leads:
    """What leads where on a page of one view, at the moment that was asked for.

    With `opens`, numbers open up to why they are so.
    """

    def __init__(self, view: View, query: bytes, *, opens: bool) -> None:
        self._view, self._opens = view, opens
        self._along = _along(parameters(query))
        self._asked = _query(self._along)
        self._moment = [pair for pair in self._along if pair[0] in MOMENT]

    def of_row(
        self, row: Mapping[str, Shown], key: Sequence[Stored], *, alone: bool = False
    ) -> dict[str, str]:
        """Which field of a row leads where.

        A row `alone` on its own page need not lead there, and its lists open up as its numbers do.
        """
        view, address = self._view, self._view.address(key)
        opens = self._opens and row.get(BUILT_IN) is not True
        found = {}
        for field in view.shown:
            name, value = field.name, row[field.name]
            if value is None or (name not in view.key and _empty(value)):
                continue
            if name in view.key and not alone:
                found[name] = address + self._asked
            elif field.kind == "json" and not alone:
                found[name] = f"{address}{self._asked}#{name}"
            elif name in view.leads and value:
                # To a page of one row, or of none: what is named need not have been said more of.
                found[name] = f"/{view.leads[name]}{_query([(name, str(value)), *self._moment])}"
            elif name in pages.SEQUENCES and field.kind == "integer":
                found |= {name: f"/events/{value!s}"} if value else {}
            elif opens and name not in view.key and (field.numeric or field.kind == "json"):
                found[name] = f"{address}/explain{self._asked}#{name}"
        if view.name == PUBLISHED:
            found |= {
                name: view.address((str(row["dealer"]), str(row[name]))) for name in OTHERS if row[name]
            }
            if opens and row[SEEN]:
                seen, _, moment = str(row[SEEN]).partition("?")
                decided = {name: f"{seen}/explain?{moment}#{name}" for name in DECIDED if name in found}
                found |= {SEEN: str(row[SEEN]), **(decided if alone else {})}
        return found

    def ways_on(self, row: Mapping[str, Shown], key: Sequence[Stored]) -> str:
        """What else can be asked about a row, as HTML: why, its dealer's history, and the same at other moments."""
        address, dealer = self._view.address(key), str(row.get("dealer") or "")
        links = [("why it says so", f"{address}/explain{self._asked}")] if self._opens else []
        if dealer:
            limited = [*self._moment, ("limit", str(HISTORY_MAX))]
            links.append((f"history of {dealer}", f"/dealers/{token(dealer)}/history{_query(limited)}"))
        moment = "a sequence, or 2026-05-01T08:00:00Z"
        known, valid = [
            [pair for pair in self._along if pair[0] != name] for name in ("known_at", "valid_at")
        ]
        forms = (
            pages.Form("as it was known at", address, "known_at", moment, known),
            pages.Form("as it was true at", address, "valid_at", "2026-05-01T08:00:00Z", valid),
            pages.Form("what moved it since", f"{address}/diff", "known_at", moment, self._along),
        )
        return pages.ways(links, forms if self._opens else ())


def leads_of_sums(
    view: View, rows: Sequence[Mapping[str, Shown]], by: Sequence[str], query: bytes
) -> list[dict[str, str]]:
    """Of each group: its names and sums lead to the rows that were added up; those of another range do not."""
    kept = [(n, value) for n, value in parameters(query) if n not in by and n not in _OF_SUMS]
    groups = [[*kept, *[(name, _said(row[name])) for name in by]] for row in rows]
    return [
        dict.fromkeys(
            [n for n in row if not n.endswith(_OF_ANOTHER_RANGE)], f"/{view.name}?{urlencode(group)}"
        )
        for row, group in zip(rows, groups, strict=True)
    ]


def row_address(view: View, key: Mapping[str, Any], asked: Iterable[tuple[str, str]]) -> str:
    """A row's own page at the moment asked, from its key as it is answered."""
    segments = "/".join(token(str(value)) for value in key.values())
    return f"/{view.name}/{segments}{_query(_along(asked))}"


def _along(asked: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What of a question is about its moment."""
    return [pair for pair in asked if pair[0] in (*MOMENT, WITHOUT)]


def _query(asked: Sequence[tuple[str, str]]) -> str:
    return f"?{urlencode(asked)}" if asked else ""


def _empty(value: Shown) -> bool:
    return bytes(value) in (b"[]", b"{}", b"null") if isinstance(value, Raw) else value == ""


def _said(value: Shown) -> str:
    """A value as a filter names it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
