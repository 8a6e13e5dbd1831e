from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from cli.trouble import FolderError, explained, make_folder


def failure_of_a_full_database() -> sqlite3.Error:
    database = sqlite3.connect(":memory:")
    try:
        database.execute("PRAGMA max_page_count = 2")
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES (zeroblob(100000))")
    except sqlite3.Error as error:
        return error
    finally:
        database.close()
    raise AssertionError("the database is not full")


def test_a_full_disk_is_told_wherever_it_was_met() -> None:
    wrapped = RuntimeError("a batch was not written")
    wrapped.__cause__ = failure_of_a_full_database()
    said = [
        explained(error)
        for error in (
            failure_of_a_full_database(),
            wrapped,
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "nats.log"),
        )
    ]

    assert [line and line.split(":")[0] for line in said] == [
        "the disk is full",
        "the disk is full",
        "the disk is full (nats.log)",
    ]


def test_a_missing_right_is_told_with_the_file() -> None:
    assert explained(PermissionError(errno.EACCES, "Permission denied", "qudao.db")) == (
        "qudao.db cannot be used: Permission denied"
    )


def test_a_bug_is_not_explained_away() -> None:
    with pytest.raises(sqlite3.OperationalError) as wrong:
        sqlite3.connect(":memory:").execute("SELECT * FROM nothing")

    assert explained(wrong.value) is None
    assert explained(KeyError("x")) is None


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FolderError, match=r"cannot be made .*: give another with --data"):
        make_folder(tmp_path / "file" / "var")
