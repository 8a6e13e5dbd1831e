"""The rows of one projection in memory: authoritative, because one projector writes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import msgspec

from infra.database import Database, Statement
from infra.definitions import physical
from infra.tables import codec_of
from infra.upserts import Upsert
from projections.rows import TABLES, Key, Row, select

R = TypeVar("R", bound=Row)

HEAVY = 2
_UNKNOWN: Any = object()
_Held = dict[Key, Row | None]  # None: known to be absent
_Changed = dict[type[Row], dict[Key, Row]]
# Changed rows by range prefix, because the database does not have them yet.
_Recent = dict[type[Row], dict[Key, dict[Key, Row]]]
_NOTHING: dict[Key, Row] = {}


class Cache:
    """Implements `projections.rows.Rows` over one version's tables, bounded in rows of each.

    Rows that are changed and not yet committed are never given up; the others are, oldest first.
    """

    def __init__(self, database: Database, rows: Iterable[type[Row]], version: str, rows_max: int) -> None:
        self._database = database
        self._codecs = {row: codec_of(row) for row in rows}
        # A row that holds lists weighs as much as several that do not.
        self._most = {
            row: rows_max // (HEAVY if any(c.kind == "json" for c in codec.columns) else 1)
            for row, codec in self._codecs.items()
        }
        self._physical = {row: physical(row, version) for row in self._codecs}
        self._upsert = {
            row: Upsert(
                database.sql, self._physical[row], [(c.name, c.kind) for c in codec.columns], codec.table.key
            )
            for row, codec in self._codecs.items()
        }
        self._delete = {row: database.sql.delete(self._physical[row], c) for row, c in self._codecs.items()}
        self._scans = {row: TABLES[row].scan for row in self._codecs}
        self._empty = {row: c.defaults() for row, c in self._codecs.items()}
        self.single_reads = 0
        self.drop()

    def drop(self) -> None:
        """Forget everything, changes too."""
        self._held: dict[type[Row], _Held] = {row: {} for row in self._codecs}
        self._dirty: _Changed = {row: {} for row in self._codecs}
        self._under_way: list[tuple[int, _Changed, _Recent]] = []
        self._recent = self._none_recent()

    def _none_recent(self) -> _Recent:
        return {row: {} for row, width in self._scans.items() if width}

    # what a fold sees

    def read(self, row: type[R], *key: Any) -> R | None:
        found = self._held[row].get(key, _UNKNOWN)
        if found is _UNKNOWN:
            self.single_reads += 1
            self._load(row, [key])
            found = self._held[row][key]
        return found  # type: ignore[no-any-return]

    def edit(self, row: type[R], *key: Any) -> R:
        dirty = self._dirty[row]
        changed = dirty.get(key)
        if changed is not None:
            return changed  # type: ignore[return-value]
        held = self._held[row]
        found = held.get(key, _UNKNOWN)
        if found is _UNKNOWN:
            found = self.read(row, *key)
        if found is None:
            found = held[key] = row(*key)
        dirty[key] = found
        if width := self._scans[row]:
            self._recent[row].setdefault(key[:width], {})[key] = found
        return found  # type: ignore[no-any-return]

    def absent(self, row: type[Row], *key: Any) -> None:
        self._held[row].setdefault(key, None)

    def put(self, row: Row) -> None:
        kind = type(row)
        key = self._codecs[kind].key(row)
        self._dirty[kind][key] = row
        if width := self._scans[kind]:
            self._recent[kind].setdefault(key[:width], {})[key] = row

    def range(self, row: type[R], *prefix: Any, since: Any = None, until: Any = None) -> Iterator[R]:
        assert len(prefix) == self._scans[row], f"{row.__name__} is scanned by {self._scans[row]} key fields"
        codec, held = self._codecs[row], self._held[row]
        found: dict[Key, Row] = {}
        for stored in self._database.scan(self._physical[row], codec, prefix, since, until):
            key = codec.key(stored)
            mine = held.get(key, stored)
            if mine is not None:
                found[key] = mine
        for recent in (*[earlier for _, _, earlier in self._under_way], self._recent):
            found.update(recent[row].get(prefix, _NOTHING))
        return select(found.items(), prefix, since, until)  # type: ignore[arg-type]

    # what the engine does

    def announce(self, keys: Iterable[tuple[type[Row], Key]]) -> None:
        """Load rows that a batch will touch, in one statement a table."""
        missing: dict[type[Row], dict[Key, None]] = {}
        held = self._held
        for row, key in keys:
            if key not in held[row]:
                missing.setdefault(row, {})[key] = None
        for row, wanted in missing.items():
            self._load(row, list(wanted))

    def _load(self, row: type[Row], keys: list[Key]) -> None:
        codec, held = self._codecs[row], self._held[row]
        for key in keys:
            held[key] = None
        for found in self._database.load(self._physical[row], codec, keys):
            held[codec.key(found)] = found

    @property
    def changed(self) -> int:
        """Rows changed since the last call of `take`."""
        return sum(map(len, self._dirty.values()))

    def take(self, sequence: int) -> list[Statement]:
        """The statements that store all changes since the last call, which belong to this sequence."""
        statements: list[Statement] = []
        for row, changed in self._dirty.items():
            if not changed:
                continue
            codec, empty = self._codecs[row], self._empty[row]
            stored, gone = [], []
            for held in changed.values():
                values = codec.write(held)
                if values[codec.key_width :] == empty:
                    gone.append(values[: codec.key_width])
                else:
                    stored.append(values)
            statements += self._upsert[row].statements(stored)
            if gone:
                statements.append((self._delete[row], (msgspec.json.encode(gone).decode(),)))
        self._under_way.append((sequence, self._dirty, self._recent))
        self._dirty, self._recent = {row: {} for row in self._codecs}, self._none_recent()
        return statements

    def committed(self, sequence: int) -> None:
        """The database has everything up to a sequence: give up rows beyond the bound."""
        if not self._under_way or self._under_way[0][0] > sequence:
            return
        while self._under_way and self._under_way[0][0] <= sequence:
            self._under_way.pop(0)
        for row, held in self._held.items():
            if (excess := len(held) - self._most[row]) > 0:
                waiting = self._dirty[row].keys() | set[Key]().union(*[c[row] for _, c, _ in self._under_way])
                for key in list(islice(held, excess)):
                    if key not in waiting:
                        del held[key]
