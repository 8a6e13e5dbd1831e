"""A database that notes what each of its tables costs: seconds and rows, read and written."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from time import thread_time
from typing import Any

from msgspec import Struct

from infra.database import Database, Run, Transaction

_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE) (\w+?)(?:__\w+)?\b")
COMMIT = "(commit)"


class Cost(Struct):
    """What a table has cost, in seconds of the processor: what waits for the interpreter or the disk is not in it."""

    reading: float = 0.0
    writing: float = 0.0
    read: int = 0  # rows found
    asked: int = 0  # statements
    written: int = 0

    def since(self, before: Cost) -> Cost:
        """What came after."""
        names = self.__struct_fields__
        return Cost(*[getattr(self, name) - getattr(before, name) for name in names])


class WatchedDatabase(Database):
    """Counts on the way; reading is on the folding thread and writing on the writer's, as with any database."""

    def __init__(self, url: str) -> None:
        self.costs: dict[str, Cost] = defaultdict(Cost)
        super().__init__(url)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        began = thread_time()
        found = super().rows(sql, parameters)
        cost = self.costs[table_of(sql)]
        cost.reading += thread_time() - began
        cost.read += len(found)
        cost.asked += 1
        return found

    def transaction(self) -> Transaction:
        return WatchedTransaction(self)


class WatchedTransaction(Transaction):
    """Counts every statement, and what is left to the commit."""

    def __enter__(self) -> Run:
        super().__enter__()
        return self._watch

    def _watch(self, sql: str, parameters: Sequence[Any]) -> Any:
        began = thread_time()
        cursor = self._run(sql, parameters)
        assert isinstance(self._database, WatchedDatabase)
        cost = self._database.costs[table_of(sql)]
        cost.writing += thread_time() - began
        cost.written += max(0, cursor.rowcount)
        return cursor

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        began = thread_time()
        super().__exit__(kind, error, traceback)
        assert isinstance(self._database, WatchedDatabase)
        self._database.costs[COMMIT].writing += thread_time() - began


def table_of(sql: str) -> str:
    """The table of a statement, without its version."""
    found = _TABLE.search(sql)
    return found[1] if found is not None else "(other)"
