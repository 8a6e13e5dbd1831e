"""Scratch databases: every test that takes one runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.tables import POSTGRESQL, SQLITE
from projections.registry import PROJECTIONS
from tests.lab.databases import Databases, Files, PostgreSQL, Where, postgresql
from tests.lab.folding import Scratch

MEMORY, ROOM = Path("/dev/shm"), 4 << 30
# Servers and databases here sync as they do everywhere, a thousand times: where a disk is slow it is most of the time.
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """SQLite files."""
    return Files(tmp_path_factory.mktemp("databases"))


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """One PostgreSQL server for the session."""
    with postgresql() as server:
        yield server


@pytest.fixture(scope="session", params=[SQLITE, POSTGRESQL])
def databases(request: pytest.FixtureRequest) -> Databases:
    """Where scratch databases come from: once these, once those."""
    found: Databases = request.getfixturevalue("files" if request.param == SQLITE else "server")
    return found


@pytest.fixture
def database(databases: Databases) -> Where:
    """A database of the test's own, without a table."""
    return databases.new()


@pytest.fixture(scope="session")
def scratch_of_all(databases: Databases) -> Scratch:
    """Empty databases with the tables of every projection there is."""
    return Scratch(databases, PROJECTIONS)


@pytest.fixture(scope="session")
def scratch(databases: Databases) -> Scratch:
    """Empty databases with the tables of orders and stock."""
    return Scratch(databases)


@pytest.fixture
def built(scratch_of_all: Scratch) -> Where:
    """A database of the test's own, with the tables of every projection and nothing in them."""
    return scratch_of_all.new()
