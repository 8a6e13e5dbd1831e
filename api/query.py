"""The small language every view is asked in, read from a query string; all that is wrong is said at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from urllib.parse import parse_qsl

from msgspec import Struct

from api.fields import Stored, read_instant, read_integer
from api.problems import Problem
from api.views import View
from api.windows import WAYS, Range, compared, read_bound
from domain.periods import no_period, period_of
from projections.events import STATUSES

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
WAIT_SECONDS = 5.0
WAIT_SECONDS_MAX = 30.0
VALUES_MAX = 1000
#: Figures of two currencies, or under two policies, are never added: sums are always told apart by these.
APART = ("currency", "policy")
FORMATS = ("json", "csv", "html")

T = TypeVar("T")

#: parameter → what it does, for problems and for the reference
PARAMETERS = {
    "limit": f"How many rows at most, 1 to {LIMIT_MAX}; {LIMIT_DEFAULT} where left out.",
    "cursor": "Go on where a page ended: its `next`.",
    "sort": "A field to sort by; with `-` before it, downwards.",
    "sum": "Number fields to add up, separated by commas. Figures of two "
    "currencies, or under two policies, are never added: such a field is always in `by`.",
    "by": "Fields to group the sums by, separated by commas.",
    "from": "From this day or instant on.",
    "to": "Up to, but not including, this day or instant.",
    "compare": "With sum, from and to: the same sums of the range before (previous) or of a year earlier (year), "
    "the difference, and the ratio of this to that.",
    "under": "This territory and everything below it.",
    "after": "Only what comes after this sequence of the log.",
    "format": "json, csv or html, in place of an Accept header.",
    "valid_at": "As it was true at this instant.",
    "known_at": "As it was known at this instant, or at this sequence of the log.",
    "without": "As if the events at these sequences, separated by commas, had never been: what would it be then?",
    "min_sequence": "Answer only once this sequence of the log is taken in.",
    "wait": f"Seconds to wait for min_sequence at most, up to {WAIT_SECONDS_MAX:g}; {WAIT_SECONDS:g} where left out.",
}
#: What a single row is asked with.
ROW_PARAMETERS = ("format", "valid_at", "known_at", "without", "min_sequence", "wait")
PREVIOUS, DIFFERENCE, RATIO = "_previous", "_difference", "_ratio"


def parameters_of(view: View) -> list[str]:
    """What a view is asked with, beside its fields."""
    left_out = set() if view.period else {"from", "to", "compare"}
    left_out |= set() if view.tree else {"under"}
    left_out |= set() if view.follows else {"after"}
    return [name for name in PARAMETERS if name not in left_out]


class Query(Struct, frozen=True):
    """One question to a view, with values as they are stored."""

    filters: Mapping[str, Sequence[Stored]] = {}
    after: int | None = None
    sort: str = ""
    descending: bool = False
    limit: int = LIMIT_DEFAULT
    cursor: str = ""
    sums: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    summing: bool = False
    range: Range = Range()
    base: Range | None = None  # the range that sums are compared with
    under: str | None = None
    format: str = ""
    valid_at: datetime | None = None
    known_at: int | datetime | None = None
    without: tuple[int, ...] = ()
    min_sequence: int = 0
    wait_seconds: float = WAIT_SECONDS


def parameters(query_string: bytes) -> list[tuple[str, str]]:
    """The parameters of a query string, in order."""
    try:
        return parse_qsl(
            query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=VALUES_MAX, errors="strict"
        )
    except UnicodeError:
        raise Problem("bad_parameter", "the query is not percent-encoded UTF-8") from None
    except ValueError:
        raise Problem("bad_parameter", f"the query has more than {VALUES_MAX} values") from None


def read_query(view: View, said: Iterable[tuple[str, str]], *, one_row: bool = False) -> Query:
    """Read a question; raises a problem that names every parameter that is wrong."""
    given: dict[str, list[str]] = {}
    for name, value in said:
        given.setdefault(name, []).append(value)
    reading = _Reading(view, given, one_row)
    query = reading.query()
    if reading.errors:
        wrong = ", ".join(dict.fromkeys(field for field, _ in reading.errors))
        raise Problem("bad_parameter", f"wrong in this query of {view.name}: {wrong}", reading.errors)
    return query


class _Reading:
    """Reads parameters one by one and remembers what was wrong with them."""

    def __init__(self, view: View, given: dict[str, list[str]], one_row: bool) -> None:
        self.view = view
        self.given = given
        self.errors: list[tuple[str, str]] = []
        self.one_row = one_row

    def query(self) -> Query:
        view = self.view
        known = set(ROW_PARAMETERS if self.one_row else parameters_of(view))
        filters = {} if self.one_row else self._filters(known)
        for name in self.given:
            if name not in known and (self.one_row or name not in view.fields):
                there = ", ".join([*sorted(known), *([] if self.one_row else view.fields)])
                self.errors.append((name, f"is not known here; there are: {there}"))
        summing = "sum" in self.given or "by" in self.given
        sums, by = self._names("sum"), self._names("by")
        if summing:
            by = (*by, *[name for name in APART if name in view.fields and name not in by])
        sort = self._one("sort", str, "")
        descending, sort = sort.startswith("-"), sort.removeprefix("-")
        range = self._range() if "from" in known else Range()
        base = self._base(range, sums, by) if "compare" in known else None
        self._check(sums, by, sort, summing, base)
        return Query(
            filters=filters,
            after=self._one("after", _sequence, None) if "after" in known else None,
            sort=sort,
            descending=descending,
            limit=self._one("limit", _limit, LIMIT_DEFAULT),
            cursor=self._one("cursor", str, ""),
            sums=sums,
            by=by,
            summing=summing,
            range=range,
            base=base,
            under=self._one("under", str, None) if "under" in known else None,
            format=self._one("format", _format, ""),
            valid_at=self._one("valid_at", read_instant, None),
            known_at=self._one("known_at", read_known, None),
            without=self._one("without", _sequences, ()),
            min_sequence=self._one("min_sequence", _sequence, 0),
            wait_seconds=self._one("wait", _wait, WAIT_SECONDS),
        )

    def _filters(self, known: set[str]) -> dict[str, list[Stored]]:
        found: dict[str, list[Stored]] = {}
        for name, said in self.given.items():
            field = self.view.fields.get(name)
            if field is None or name in known:
                continue
            try:
                found[name] = [
                    None if value == "" and field.nullable else field.read(value) for value in said
                ]
                for value in said:
                    _check(self.view, name, value)
            except ValueError as error:
                self.errors.append((name, str(error)))
        return found

    def _range(self) -> Range:
        field = self.view.fields[self.view.period]
        since, until = [
            self._one(name, lambda said: read_bound(field, said), None) for name in ("from", "to")
        ]
        if since is not None and until is not None and until <= since:
            self.errors.append(("to", "must be after `from`: it is not part of the range"))
        return Range(since, until)

    def _base(self, range: Range, sums: tuple[str, ...], by: tuple[str, ...]) -> Range | None:
        if "compare" not in self.given:
            return None
        way = self._one("compare", _way, "")
        if not (sums and range.since and range.until):
            self.errors.append(("compare", "needs sum, from and to"))
        elif self.view.period in by:
            self.errors.append(("by", f"each {self.view.period} is in one of the ranges only: leave it out"))
        elif way and range.since < range.until:
            try:
                return compared(way, range)
            except ValueError as error:
                self.errors.append(("compare", str(error)))
        return None

    def _one(self, name: str, read: Callable[[str], T], default: T) -> T:
        said = self.given.get(name)
        if said is None:
            return default
        if len(said) > 1:
            self.errors.append((name, "is given more than once"))
            return default
        try:
            return read(said[0])
        except ValueError as error:
            self.errors.append((name, str(error)))
            return default

    def _names(self, name: str) -> tuple[str, ...]:
        said = ",".join(self.given.get(name, []))
        return tuple(dict.fromkeys(part for part in said.split(",") if part))

    def _check(
        self, sums: tuple[str, ...], by: tuple[str, ...], sort: str, summing: bool, base: Range | None
    ) -> None:
        numbers = [f.name for f in self.view.shown if f.numeric and f.name not in self.view.key]
        plain = [field.name for field in self.view.shown if field.kind != "json"]
        for name in sums:
            if name not in numbers:
                there = ", ".join(numbers) or "none here"
                self.errors.append(("sum", f"{name!r} is no number that can be added; there are: {there}"))
        for name in by:
            if name not in plain:
                self.errors.append(("by", f"{name!r} is no field to group by; there are: {', '.join(plain)}"))
        sortable = [*by, *sums, "count"] if summing else plain
        if base is not None:
            sortable += [name + ending for name in sums for ending in (PREVIOUS, DIFFERENCE)]
        if sort and sort not in sortable:
            self.errors.append(("sort", f"{sort!r} cannot be sorted by; there are: {', '.join(sortable)}"))


def _check(view: View, field: str, said: str) -> None:
    """Refuse what no row can have. Raises ValueError."""
    if field == "period" and period_of(said) is None:
        raise ValueError(no_period(said))
    if (view.name, field) == ("events", "status") and said not in STATUSES:
        raise ValueError(f"must be one of {', '.join(STATUSES)}, not {said!r}")


def _limit(said: str) -> int:
    if not said.isdecimal() or len(said) > 9 or not 1 <= int(said) <= LIMIT_MAX:
        raise ValueError(f"must be 1 to {LIMIT_MAX}")
    return int(said)


def _way(said: str) -> str:
    if said not in WAYS:
        raise ValueError(f"must be one of {', '.join(WAYS)}")
    return said


def read_known(said: str) -> int | datetime:
    """Read a sequence of the log, or an instant. Raises ValueError."""
    return (
        read_integer(said)
        if said.isdigit()
        else read_instant(said, ", or a sequence of the log such as 4711")
    )


def _sequence(said: str) -> int:
    if (found := read_integer(said)) < 0:
        raise ValueError("must not be negative")
    return found


def _sequences(said: str) -> tuple[int, ...]:
    return tuple([_sequence(one) for one in said.split(",")])


def _wait(said: str) -> float:
    try:
        seconds = float(said)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= WAIT_SECONDS_MAX:
        raise ValueError(f"must be 0 to {WAIT_SECONDS_MAX:g} seconds")
    return seconds


def _format(said: str) -> str:
    if said not in FORMATS:
        raise ValueError(f"must be one of {', '.join(FORMATS)}")
    return said
