"""The HTTP service on a scratch folder: over a database folded here, a log, or neither."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import jsonschema
from litestar import Litestar
from litestar.testing import TestClient

from api.app import create_app
from api.server import listen, server_of
from domain.catalogue import Catalogue
from domain.event_types import CATALOGUE
from infra.connection import Connection
from infra.engine import Engine
from infra.message import Message
from infra.nats_server import NatsServer
from infra.positions import Log
from infra.reader import Reader
from infra.stream import stream_state
from projections.projection import Projection
from projections.registry import PROJECTIONS
from tests.lab.databases import Where, address
from tests.lab.folding import engine_on

NOWHERE = "nats://127.0.0.1:1"


def app_on(
    where: Where,
    *,
    nats_url: str = NOWHERE,
    projections: Sequence[Projection] = PROJECTIONS,
    catalogue: Catalogue = CATALOGUE,
    monitor_urls: Sequence[str] = (),
) -> Litestar:
    """The application over a database; without a log where none is named."""
    return create_app(
        database_url=address(where),
        nats_url=nats_url,
        catalogue=catalogue,
        projections=projections,
        monitor_urls=monitor_urls,
        append_seconds=1.0,
    )


@contextmanager
def site(where: Where, **options: Any) -> Iterator[TestClient[Litestar]]:
    """A client of the application, in this process and without a socket."""
    with TestClient(app_on(where, **options), raise_server_exceptions=False) as client:
        yield client


def fold(where: Where, messages: Iterable[Message], projections: Sequence[Projection] = PROJECTIONS) -> None:
    """Let a projector take the messages in."""
    engine = engine_on(where, projections)
    try:
        engine.apply(list(messages))
        engine.sync()
        while engine.build():
            pass
    finally:
        engine.close()
        engine.database.close()


@asynccontextmanager
async def served(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application behind a real server on a free port."""
    bound = listen("127.0.0.1", 0)
    server = server_of(app)
    running = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            yield client
    finally:
        server.should_exit = True
        await running
        bound.close()


@asynccontextmanager
async def linked(where: Where, log: NatsServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application over a database and a log, once it has found the log."""
    async with served(app_on(where, nats_url=log.url, monitor_urls=[log.monitor_url])) as client:
        await ready(client)
        yield client


async def ready(client: httpx.AsyncClient, fault: str = "") -> None:
    """Wait until the service has found the log, or says a fault."""
    for _ in range(500):
        health = (await client.get("/health")).json()
        if fault in " ".join(health["faults"]) if fault else health["log"]["reachable"]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(health)


async def catch_up(client: Connection, where: Where) -> int:
    """Fold all that the log has; the sequence it ends at."""
    state = await stream_state(client)
    engine: Engine = engine_on(where, log=Log(state.store_id, state.created))
    try:
        async with Reader(client, after=engine.position.sequence, until=state.last_sequence) as reader:
            async for batch in reader:
                engine.apply(batch)
        engine.sync()
        return engine.position.sequence
    finally:
        engine.close()
        engine.database.close()


def checked(response: httpx.Response, spec: Mapping[str, Any], path: str, method: str = "get") -> Any:
    """The JSON of an answer, which must be what the OpenAPI document says of its address."""
    ways = spec["paths"][path][method]["responses"]
    way = ways.get(str(response.status_code), ways["default"])
    said = response.headers["content-type"].split(";")[0]
    assert said in way["content"], f"{response.status_code} {said} is not described for {method} {path}"
    answer = response.json()
    schema = way["content"][said]["schema"]
    jsonschema.Draft202012Validator(
        {**schema, "components": spec["components"]},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    ).validate(answer)
    return answer
