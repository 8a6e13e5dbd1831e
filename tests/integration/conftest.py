"""A real nats-server for the tests, and one fresh stream at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from log_events import delete_stream

from infra.connection import Connection
from infra.jetstream import connect
from infra.nats_server import NatsServer
from infra.stream import create_stream


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for the session; share it through `stream`."""
    with NatsServer.start(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server of the test's own, which it may kill."""
    with NatsServer.start(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def stream(nats_server: NatsServer) -> AsyncIterator[Connection]:
    """A connection to the session's server, with an empty stream made anew."""
    client = await connect(nats_server.url, "test")
    await delete_stream(client)
    await create_stream(client)
    yield client
    await client.close()
