"""A row as it becomes, event by event: what bears on it is folded again, and it is read where it may have moved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from api.fields import Stored
from api.moment import Read
from api.query import Query
from api.views import View
from domain.envelope import Payload, Recorded
from infra.definitions import made_of
from infra.past import Past, Touched
from infra.tables import codec_of
from projections.documents import Change
from projections.rows import TABLES

R = TypeVar("R")


class Unfolding(Generic[R]):
    """A row from a sequence on; `first` is how it was there, `row` how it is, once `steps` has begun."""

    first: R
    row: R

    def __init__(
        self,
        past: Past,
        events: Iterable[Recorded[Payload]],
        depends: Dependence,
        read: Callable[[], R],
        since: int = 0,
    ) -> None:
        """`read` reads the row from the past, and leaves in `depends` what it looked at."""
        self._past, self._events, self._dependence, self._read, self._since = (
            past,
            events,
            depends,
            read,
            since,
        )

    def steps(self) -> Iterator[tuple[Recorded[Payload], Change | None, R, R]]:
        """Every event after the sequence that touched what the row is made of: its change, the row before and after."""
        begun = False
        for event in self._events:
            if not begun and event.sequence > self._since:
                begun = self._begin()
            change = self._past.take(event)
            if begun and self._dependence.on(self._past.write()):
                before, self.row = self.row, self._read()
                yield event, change, before, self.row
        if not begun:
            self._begin()

    def _begin(self) -> bool:
        self._past.write()
        self.first = self.row = self._read()
        return True


class Dependence:
    """Whether rows that were touched may make another row of a view: reading one after every event takes long.

    What a computed view read the last time says what it will look at, until some of that is touched.
    """

    def __init__(self, view: View, key: Sequence[Stored], query: Query) -> None:
        way = view.computed
        self.key = tuple(key)
        self.reads: list[Read] | None = None
        #: Whether the view is computed for this question, and not read.
        self.reckoned = way is not None and (way.always or query.valid_at is not None)
        self._sources = made_of(view.name)
        self._plain = not self.reckoned and not TABLES[view.row].sql
        #: The names of the key, where a stored row may be summed anew from others as time passes.
        self._due = view.key if way is not None and way.due else ()

    def on(self, touched: Sequence[Touched]) -> bool:
        """Whether any of them may."""
        if self.reads is not None:
            return any(_looked_at(read, one) for read in self.reads for one in touched)
        if self.reckoned:
            return bool(touched)
        if self._due:
            return any(self._beside(one) for one in touched)
        mine = [one for one in touched if TABLES[one.row].view in self._sources]
        return any(one.key == self.key for one in mine) if self._plain else bool(mine)

    def _beside(self, touched: Touched) -> bool:
        """Whether a row is of the same place and product, or of all products of the place."""
        said = dict(zip(TABLES[touched.row].key, touched.key, strict=True))
        return all(said.get(name, mine) in (mine, "") for name, mine in zip(self._due, self.key, strict=True))


def _looked_at(read: Read, touched: Touched) -> bool:
    entry = TABLES[read.row]
    if TABLES[touched.row].view not in made_of(entry.name):
        return False
    main = re.search(r"\bFROM (\w+)", entry.sql)
    if TABLES[touched.row].view != (main[1] if main else entry.view):
        return True  # what is joined: how it bears is not known
    # By place: a view may show under the name of a stored key what it makes of it.
    keys = zip(entry.key, TABLES[touched.row].key, touched.key, strict=False)
    alike = len(entry.key) == len(touched.key)
    said = {name: value for name, own, value in keys if alike or name == own}
    codec = codec_of(touched.row)
    for name, values in read.wanted.items():
        if name in said and said[name] not in [codec.write_field(name, value) for value in values]:
            return False
    if read.window is not None and read.window[0] in said:
        name, first, end = read.window
        if not codec.write_field(name, first) <= said[name] < codec.write_field(name, end):
            return False
    own = set(touched.row.__struct_fields__)
    return bool(touched.fields & read.fields) or not (read.fields <= own)
