"""A database whose commits fail as a seed says, and a writer without a thread, so that nothing else decides."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import sqlalchemy as sa

from infra.database import Commit, Database, Transaction
from infra.writer import CommitFailedError, Writer


class Disk(Database):
    """A SQLite file. A commit may fail before it began, in its middle, or after it was done."""

    def __init__(self, path: Path, random: Random, faults: float) -> None:
        super().__init__(f"sqlite:///{path}")
        sa.event.listen(self.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))
        self.engine.dispose()
        self.random = random
        self.faults = faults

    def commit(self, commit: Commit, transaction: Transaction | None = None) -> None:
        if self.random.random() >= self.faults:
            super().commit(commit, transaction)
            return
        match self.random.randrange(3):
            case 0:
                raise sqlite3.OperationalError("database is locked")
            case 1:
                with self.transaction() as run:
                    for sql, parameters in commit.statements[: len(commit.statements) // 2 + 1]:
                        run(sql, parameters)
                    raise sqlite3.OperationalError("database or disk is full")
            case _:
                super().commit(commit, transaction)
                raise sqlite3.OperationalError("disk I/O error")


class Slow(Writer):
    """Writes when the seed says so; at the latest when it is waited for."""

    def __init__(self, database: Database, random: Random) -> None:
        self._database = database
        self._random = random
        self._jobs: list[tuple[int, Commit]] = []
        self._failure: BaseException | None = None
        self.committed = 0

    def submit(self, sequence: int, commit: Commit) -> None:
        self._raise()
        self._jobs.append((sequence, commit))
        while self._jobs and (len(self._jobs) > 2 or self._random.random() < 0.6):
            self._write()

    def drain(self) -> None:
        while self._jobs:
            self._write()
        self._raise()

    def reset(self) -> None:
        self._jobs.clear()
        self._failure = None
        self.committed = 0

    def close(self) -> None:
        while self._jobs:
            self._write()

    def _write(self) -> None:
        sequence, commit = self._jobs.pop(0)
        if self._failure is not None:
            return
        try:
            self._database.commit(commit)
            self.committed = sequence
        except Exception as failure:
            self._failure = failure

    def _raise(self) -> None:
        if self._failure is not None:
            raise CommitFailedError("a batch was not written") from self._failure


def slowly(random: Random) -> Callable[[Database], Writer]:
    """Makes such writers."""
    return lambda database: Slow(database, random)
