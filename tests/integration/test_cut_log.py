"""A log that was replaced or cut: the projector stops for good and says so, health is red, no row is touched."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from log_events import delete_stream

from infra.append import Appender, Outgoing, message_id
from infra.connection import Connection
from infra.database import Database
from infra.jetstream import connect
from infra.nats_server import NatsServer
from infra.stream import create_stream
from tests.lab.databases import Databases, Where, address
from tests.lab.events import order, subject_of
from tests.lab.qudao import command, environment, eventually
from tests.lab.site import catch_up, site

pytestmark = pytest.mark.integration

FOR_GOOD = 3
Rows = dict[str, list[tuple[Any, ...]]]


class Log:
    """One nats-server on one port, whose folder may be put back to what it was; and a database folded from it."""

    def __init__(self, folder: Path, database: Where) -> None:
        self.folder, self.database = folder, database
        self._nats, self._copy = folder / "nats", folder / "copy"
        self.server = NatsServer.start(self._nats)

    def restart(self, meanwhile: Callable[[], object]) -> None:
        """Do something to the folder while the server is away."""
        self.server.stop()
        meanwhile()
        self.server = NatsServer.start(self._nats, port=self.server.port)

    def copy(self) -> None:
        self.restart(lambda: shutil.copytree(self._nats, self._copy))

    def put_back(self) -> None:
        """Restore the copy, as an operator would who has forgotten the database."""

        def restore() -> None:
            shutil.rmtree(self._nats)
            shutil.copytree(self._copy, self._nats)

        self.restart(restore)

    def append(self, *names: str) -> None:
        """Put in orders of these names."""
        asyncio.run(self._with(lambda client: Appender(client).append([_outgoing(name) for name in names])))

    def make(self) -> None:
        asyncio.run(self._with(create_stream))

    def replace(self) -> None:
        """Delete the stream and make one of the same name."""
        asyncio.run(self._with(delete_stream))
        self.make()

    def fold(self) -> None:
        asyncio.run(self._with(lambda client: catch_up(client, self.database)))

    async def _with(self, work: Callable[[Connection], Any]) -> None:
        client = await connect(self.server.url, "test")
        try:
            await work(client)
        finally:
            await client.close()

    def rows(self) -> Rows:
        """Every stored row, and how far each projection was."""
        database = Database(address(self.database), read_only=True)
        names = sa.inspect(database.engine).get_table_names()
        found = {name: sorted(database.rows(f'SELECT * FROM "{name}"')) for name in names}
        positions = "SELECT projection, version, status, sequence, leaf, chain FROM positions"
        found["positions"] = sorted(database.rows(positions))
        database.close()
        return found

    def project(self) -> subprocess.Popen[str]:
        """A projector as a process of its own."""
        there = ("--data", self.folder, "--database", address(self.database))
        words = command("project", *there, "--nats", self.server.url)
        return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment())

    def red(self) -> list[str]:
        """What /health says is wrong; nothing where it is green."""
        with site(self.database, nats_url=self.server.url, monitor_urls=[self.server.monitor_url]) as api:
            eventually(lambda: bool(api.get("/health").json()["log"]["reachable"]))
            answer = api.get("/health")
            assert (answer.status_code == 200) == (answer.json()["faults"] == [])
            return list(answer.json()["faults"])


def _outgoing(name: str) -> Outgoing:
    event = order(name, "D1", ("COLA", 2), id=f"e-{name}")
    return Outgoing(subject_of(event), event, message_id("erp", f"e-{name}", event))


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Where:
    """What a projector finds is tried on SQLite, what is done under it on PostgreSQL: a process each takes long."""
    found: Databases = request.getfixturevalue("server" if "_under_it_" in request.node.name else "files")
    return found.new()


@pytest.fixture
def log(tmp_path: Path, database: Where) -> Iterator[Log]:
    """A log of three orders, a copy of it from when it had two, and a database that has all three."""
    log = Log(tmp_path, database)
    try:
        log.make()
        log.append("A", "B")
        log.copy()
        log.append("C")
        log.fold()
        yield log
    finally:
        log.server.stop()


def replaced(log: Log) -> None:
    log.replace()
    log.append("X", "Y", "Z", "W")


def cut(log: Log) -> None:
    log.put_back()


def cut_and_grown(log: Log) -> None:
    log.put_back()
    log.append(*"UVWXYZ")


#: What is done to the log, what the projector says of it, and what /health says.
CHANGES = pytest.mark.parametrize(
    ("change", "said", "fault"),
    [
        (replaced, "made anew|made from the log", "was made from another log"),
        (cut, r"the log ends at 2", "the log ends at 2: the log was cut or restored"),
        (
            cut_and_grown,
            "message . of the log is not the one that was folded",
            "is not the one that was folded",
        ),
    ],
    ids=["replaced", "cut", "cut and grown"],
)


@CHANGES
def test_a_projector_that_finds_its_log_changed_stops_for_good_and_touches_nothing(
    log: Log, change: Callable[[Log], None], said: str, fault: str
) -> None:
    before = log.rows()
    change(log)

    with log.project() as projector:
        sentence = last_word(projector)
    faults = log.red()

    assert projector.returncode == FOR_GOOD
    assert re.search(said, sentence)
    assert fault in " ".join(faults)
    assert log.rows() == before


@CHANGES
def test_a_projector_whose_log_is_changed_under_it_stops_for_good_and_touches_nothing(
    log: Log, change: Callable[[Log], None], said: str, fault: str
) -> None:
    with following(log) as projector:
        before = log.rows()
        projector.send_signal(signal.SIGSTOP)  # so that it sees the end of the change and not its middle
        change(log)
        projector.send_signal(signal.SIGCONT)
        sentence = last_word(projector)
    faults = log.red()

    assert projector.returncode == FOR_GOOD
    assert re.search(said, sentence)
    assert fault in " ".join(faults)
    assert log.rows() == before


@contextmanager
def following(log: Log) -> Iterator[subprocess.Popen[str]]:
    """A projector at the live end of the log."""
    with log.project() as projector:
        try:
            log.append("D")
            assert eventually(lambda: max(row[3] for row in log.rows()["positions"]) == 4, 20)
            log.append("E")
            assert eventually(lambda: max(row[3] for row in log.rows()["positions"]) == 5, 20)
            yield projector
        finally:
            if projector.poll() is None:
                os.kill(projector.pid, signal.SIGCONT)
                projector.terminate()


def last_word(projector: subprocess.Popen[str]) -> str:
    """The one sentence a projector ends with."""
    try:
        _, said = projector.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        projector.kill()  # whoever leaves it would wait for its end
        raise
    lines = [line for line in said.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, said
    return lines[0].removeprefix("qudao: ")
