"""Troubles of the machine that a person can put right, each in one line."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from domain.errors import QudaoError

FULL = "the disk is full{0}: free some space and start again; nothing that was acknowledged is lost"
#: What SQLite says of its surroundings; anything else it says is a bug.
SQLITE_SIGNS = ("unable to open", "readonly", "locked", "disk I/O", "malformed", "not a database")


class FolderError(QudaoError):
    """The data folder cannot be used."""

    code = "folder"


def make_folder(data: Path) -> None:
    """Make the data folder where it is missing. Raises FolderError where it cannot be written."""
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FolderError(
            f"the folder {data} cannot be made ({error.strerror}): give another with --data"
        ) from error
    if not os.access(data, os.W_OK | os.X_OK):
        raise FolderError(
            f"the folder {data} cannot be written: change its rights, or give another with --data"
        )


def explained(error: BaseException) -> str | None:
    """Say what a full disk, a missing right or a silent database is, in a line; None for what is a bug."""
    for one in _chain(error):
        if isinstance(one, OSError):
            where = f" ({one.filename})" if one.filename else ""
            if one.errno in (errno.ENOSPC, errno.EDQUOT):
                return FULL.format(where)
            if isinstance(one, PermissionError) or one.errno == errno.EROFS:
                return f"{one.filename or 'a file'} cannot be used: {one.strerror}"
        if isinstance(one, sqlite3.Error):
            if "disk is full" in str(one):
                return FULL.format("")
            if any(sign in str(one) for sign in SQLITE_SIGNS):
                return f"the database cannot be used: {one}"
        elif type(one).__module__.startswith("psycopg") and type(one).__name__ == "OperationalError":
            said = str(one).strip().splitlines()[0]
            return f"the database does not answer ({said}): check its address, and that it runs"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
