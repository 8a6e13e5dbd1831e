"""What a projection stores, and what its fold may read and write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

from msgspec import Struct

Key = tuple[Any, ...]
Home = Literal["dealer", "shared"]


class Row(Struct, gc=False):
    """One row of a read model: table, API answer, change feed and expected value in one.

    Rows and events form no cycles, so the collector need not look at them: it cost a quarter of folding.
    Key fields come first and have no default; every other field has one. A row whose other fields all have
    their default says nothing and is not stored, so taking an effect off leaves no trace.
    """


R = TypeVar("R", bound=Row)


class Table(Struct, frozen=True):
    """Where a row type is stored. The key of a `dealer` table begins with the dealer."""

    name: str
    row: type[Row]
    key: tuple[str, ...]
    home: Home
    indexes: tuple[tuple[str, ...], ...]
    scan: int  # how many key fields a range names
    appears: str  # the instant, or the day, AHEAD_MAX before which a row is shown, or nothing
    view: str  # the name under which people ask for it; several tables may share one
    sql: str = ""  # what a row type without a table selects from other views; nothing where it is computed
    coarser: str = ""  # a view with the same figures under fewer keys, for sums that name none of the others
    period: str = ""  # the day or instant that ranges of time are asked by
    across: frozenset[str] = (
        frozenset()
    )  # kinds of document that bear on rows of other dealers than their own


TABLES: dict[type[Row], Table] = {}


def table(
    name: str,
    *,
    key: tuple[str, ...],
    home: Home = "dealer",
    indexes: tuple[tuple[str, ...], ...] = (),
    scan: int = 0,
    appears: str = "",
    view: str | None = None,
    coarser: str = "",
    period: str = "",
) -> Callable[[type[R]], type[R]]:
    """Say where a row type is stored and what identifies a row."""

    def enter(row: type[R]) -> type[R]:
        if row.__struct_fields__[: len(key)] != key or (home == "dealer" and key[0] != "dealer"):
            raise ValueError(f"{row.__name__}: the key {key} must be its first fields, a dealer's own first")
        TABLES[row] = Table(
            name,
            row,
            key,
            home,
            indexes,
            scan,
            _appears(key, appears),
            view or name,
            coarser=coarser,
            period=_period(row, period),
        )
        return row

    return enter


def view(
    name: str,
    *,
    key: tuple[str, ...],
    sql: str = "",
    appears: str = "",
    coarser: str = "",
    period: str = "",
    across: tuple[str, ...] = (),
) -> Callable[[type[R]], type[R]]:
    """Name a row type that has no table: it selects from other views in `sql`, or it is computed.

    The SQL is one SELECT that SQLite and PostgreSQL read alike; it names every field of the row, in order.
    """

    def enter(row: type[R]) -> type[R]:
        if row.__struct_fields__[: len(key)] != key:
            raise ValueError(f"{row.__name__}: the key {key} must be its first fields")
        shown, ranged, kinds = _appears(key, appears), _period(row, period), frozenset(across)
        TABLES[row] = Table(name, row, key, "shared", (), 0, shown, name, sql, coarser, ranged, kinds)
        return row

    return enter


def _appears(key: tuple[str, ...], named: str) -> str:
    """What says when a row is shown: the instant named, else the day that it is of."""
    return named or ("day" if "day" in key else "")


def _period(row: type[Row], named: str) -> str:
    """The field that ranges of time are asked by: the one named, else the day where there is one."""
    return named or ("day" if "day" in row.__struct_fields__ else "")


class Rows(Protocol):
    """A projection's rows, as its fold sees them."""

    def read(self, row: type[R], *key: Any) -> R | None:
        """The row under a key; None and a row of defaults mean the same. It must not be changed."""
        ...

    def edit(self, row: type[R], *key: Any) -> R:
        """The row under a key, made with its defaults where there is none, to be changed in place."""
        ...

    def absent(self, row: type[Row], *key: Any) -> None:
        """Say that nothing is stored under a key, as another row tells: it need not be loaded to be edited."""
        ...

    def put(self, row: Row) -> None:
        """Store a row whatever was there. Rows of one table are either put and ranged over, or read and edited."""
        ...

    def range(self, row: type[R], *prefix: Any, since: Any = None, until: Any = None) -> Iterator[R]:
        """Rows whose key begins with `prefix`, in key order; the next key field in [since, until].

        The prefix is as long as the table's `scan`. Rows must not be changed through it.
        """
        ...


#: A field and the half-open range it must lie in; a row that has no value there is left out.
Window = tuple[str, Any, Any]


class Tables(Protocol):
    """The rows of one moment, as a view that is computed reads them."""

    def select(self, row: type[R], window: Window | None = None, /, **wanted: Sequence[Any]) -> Iterator[R]:
        """Rows whose fields have one of the wanted values each, in key order; all rows where none is named.

        Of a table or an SQL view. Instants and decimals are named as they are, not as they are stored.
        """
        ...

    def sums(
        self,
        row: type[Row],
        by: Sequence[str],
        fields: Sequence[str],
        window: Window | None = None,
        /,
        **wanted: Sequence[Any],
    ) -> Iterator[tuple[Any, ...]]:
        """Exact sums of fields over those rows, in groups: the values of `by`, then the sums."""
        ...


#: A computed view: the rows as they were at an instant, narrowed by the filters where that is cheap
#: (field → any of these values); what it gives beyond them is filtered again.
Answer = Callable[[Tables, datetime, Mapping[str, Sequence[Any]]], Iterable[Row]]


class MemoryRows:
    """Rows in memory alone, for replaying what concerns one party, explaining it, and testing folds."""

    def __init__(self) -> None:
        self._rows: dict[type[Row], dict[Key, Row]] = {}
        self._ranges: dict[tuple[type[Row], Key], dict[Key, Row]] = {}  # by the prefix that a range names

    def read(self, row: type[R], *key: Any) -> R | None:
        return self._rows.get(row, {}).get(key)  # type: ignore[return-value]

    def edit(self, row: type[R], *key: Any) -> R:
        found = self.read(row, *key)
        if found is None:
            self._enter(key, found := row(*key))
        return found

    def absent(self, row: type[Row], *key: Any) -> None:
        """Nothing is ever loaded here."""

    def put(self, row: Row) -> None:
        self._enter(tuple([getattr(row, name) for name in TABLES[type(row)].key]), row)

    def _enter(self, key: Key, row: Row) -> None:
        kind = type(row)
        self._rows.setdefault(kind, {})[key] = row
        if width := TABLES[kind].scan:
            self._ranges.setdefault((kind, key[:width]), {})[key] = row

    def range(self, row: type[R], *prefix: Any, since: Any = None, until: Any = None) -> Iterator[R]:
        held = self._rows.get(row, {})
        if prefix and len(prefix) == TABLES[row].scan:
            held = self._ranges.get((row, prefix), {})
        return select(held.items(), prefix, since, until)  # type: ignore[arg-type]

    def select(self, row: type[R], window: Window | None = None, /, **wanted: Sequence[Any]) -> Iterator[R]:
        for found in self.range(row):
            if window is not None:
                value = getattr(found, window[0])
                if value is None or not window[1] <= value < window[2]:
                    continue
            if all(getattr(found, name) in values for name, values in wanted.items()):
                yield found

    def sums(
        self,
        row: type[Row],
        by: Sequence[str],
        fields: Sequence[str],
        window: Window | None = None,
        /,
        **wanted: Sequence[Any],
    ) -> Iterator[tuple[Any, ...]]:
        groups: dict[Key, list[Any]] = {}
        for found in self.select(row, window, **wanted):
            group = tuple([getattr(found, name) for name in by])
            values = [getattr(found, name) for name in fields]
            held = groups.setdefault(group, [type(value)(0) for value in values])
            groups[group] = [old + value for old, value in zip(held, values, strict=True)]
        for group in sorted(groups):
            yield (*group, *groups[group])

    def all(self, row: type[R]) -> list[R]:
        """Every row of a table that says something, in key order."""
        return [r for r in self.range(row) if not is_empty(r)]


def select(rows: Iterable[tuple[Key, R]], prefix: Key, since: Any, until: Any) -> Iterator[R]:
    """Rows of a key range, in key order."""
    depth = len(prefix)
    found = [
        (key, row)
        for key, row in rows
        if key[:depth] == prefix
        and (since is None or key[depth] >= since)
        and (until is None or key[depth] <= until)
    ]
    found.sort(key=lambda pair: pair[0])
    return iter([row for _, row in found])


def is_empty(row: Row) -> bool:
    """True where every field beside the key has its default."""
    key = TABLES[type(row)].key
    return row == type(row)(*[getattr(row, name) for name in key])
