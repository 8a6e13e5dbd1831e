"""One projector to a database: the second one is told so, by name, before it touches anything."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from domain.errors import QudaoError
from infra.database import Database
from infra.tables import SQLITE

ADVISORY = 0x7175_6461_6F  # "qudao"
LOCK_NOT_AVAILABLE = "55P03"
LET_GO_SECONDS = 5  # PostgreSQL ends what a killed projector had begun before it lets go


class BusyError(QudaoError):
    """Another projector works on this database."""

    code = "busy"


class ProjectorLock:
    """Held as long as its process lives; the operating system or PostgreSQL lets go of it after a kill."""

    def __init__(self, database: Database) -> None:
        self._connection: Any = None
        self._file = -1
        if database.dialect == SQLITE:
            path = Path(str(database.engine.url.database) + ".lock")
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = os.read(self._file, 32).decode(errors="replace").strip()
                os.close(self._file)
                raise BusyError(
                    f"another projector (process {holder or 'unknown'}) works on {path.with_suffix('')}: one is "
                    "enough; stop it first if this one is to take over"
                ) from None
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)
        else:
            self._connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._connection.exec_driver_sql(f"SET lock_timeout = '{LET_GO_SECONDS}s'")
            try:
                self._connection.execute(sa.select(sa.func.pg_advisory_lock(ADVISORY)))
            except sa.exc.OperationalError as error:
                self._connection.close()
                if getattr(error.orig, "sqlstate", "") != LOCK_NOT_AVAILABLE:
                    raise
                raise BusyError(
                    "another projector works on this PostgreSQL database: one is enough; stop it first if this "
                    "one is to take over"
                ) from None

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._connection is not None:
            self._connection.invalidate()  # the lock is its session's, which would live on in the pool
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
