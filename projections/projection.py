"""A projection: row types, the keys an event touches, and the fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from projections.documents import Change
from projections.rows import Key, Row, Rows


class Projection(Struct, frozen=True):
    """One read model.

    `kinds` are the kinds of document it folds. `keys` announces rows the fold will touch, so that they are
    loaded in bulk; what it forgets is loaded singly. `module` names the code its version is made from.
    """

    name: str
    rows: tuple[type[Row], ...]
    kinds: frozenset[str]
    keys: Callable[[Change], Iterator[tuple[type[Row], Key]]]
    fold: Callable[[Change, Rows], None]
    modules: tuple[str, ...]
