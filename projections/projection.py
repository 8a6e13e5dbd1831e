"""A projection: row types, the keys an event touches, and the fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from projections.documents import Change
from projections.rows import Answer, Key, Row, Rows


class Computed(Struct, frozen=True):
    """How a view answers for another time than now.

    `always`: it has no table and is computed for now too. `due`: the field that says from when on a stored row
    is no longer what it says; while such rows are due, the view is computed.
    """

    row: type[Row]
    answer: Answer
    always: bool = False
    due: str = ""


class Projection(Struct, frozen=True):
    """One read model.

    `kinds` are the kinds of document it folds. `keys` announces rows the fold will touch, so that they are
    loaded in bulk; `further` announces, in waves, those whose keys stand in the rows of the wave before. What both
    forget is loaded singly. `modules` names the code its version is made from. `by_name` are those of its kinds
    whose documents, beside their own dealer's rows, bear on those of whom and what they name, and not on anybody's.
    """

    name: str
    rows: tuple[type[Row], ...]
    kinds: frozenset[str]
    keys: Callable[[Change], Iterator[tuple[type[Row], Key]]]
    fold: Callable[[Change, Rows], None]
    modules: tuple[str, ...]
    by_name: frozenset[str] = frozenset()
    views: tuple[type[Row], ...] = ()  # row types without a table: selected from others, or computed
    computed: tuple[Computed, ...] = ()
    reads: tuple[str, ...] = ()  # other projections whose rows the computed views bring in
    further: Callable[[Sequence[Change], Rows], Iterator[Iterable[tuple[type[Row], Key]]]] | None = None
