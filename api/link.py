"""The API's way to the log: connected when it can be, and always able to say how it stands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from nats.aio.client import Client

from domain.errors import QudaoError
from infra.append import Appender
from infra.durability import Durability, durability
from infra.jetstream import LogUnreachableError
from infra.lookups import read_one
from infra.monitoring import ServerState, servers
from infra.stream import StreamState, connect, stream_state

log = logging.getLogger("qudao.api")

AGAIN_SECONDS = 0.5
APPEND_SECONDS = 15.0
REPORT_SECONDS = 60.0


class Link:
    """One connection to the log. It is not needed to start, and is made as soon as the log is there."""

    def __init__(
        self, url: str, monitor_urls: Sequence[str] = (), *, append_seconds: float = APPEND_SECONDS
    ) -> None:
        self._url = url
        self._monitor_urls = monitor_urls
        self._append_seconds = append_seconds
        self._client: Client | None = None
        self._appender: Appender | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._durability: Durability | None = None
        self._asked = 0.0
        self.absent = not url  # a service that only reads what a database has
        self._why = (
            "this service only reads a database: the log is elsewhere" if self.absent else "not connected yet"
        )

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        if self.absent:
            return
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        told = False
        while self._client is None:
            try:
                self._client = await connect(self._url, "qudao api")
                self._appender = Appender(self._client, patience_seconds=self._append_seconds)
            except QudaoError as error:
                self._why = str(error)
                if not told:
                    log.warning("%s; trying until it answers", error)
                told = True
                await asyncio.sleep(AGAIN_SECONDS)

    async def stop(self) -> None:
        """Close the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    @property
    def client(self) -> Client:
        """The connection; raises LogUnreachableError where there is none now."""
        if self._client is None:
            raise LogUnreachableError(self._why)
        if not self._client.is_connected:
            raise LogUnreachableError("the connection to the log is lost; it is being made again")
        return self._client

    @property
    def appender(self) -> Appender:
        """What stores events; raises LogUnreachableError where nothing can be sent now."""
        assert self.client is not None
        assert self._appender is not None, "made together with the connection"
        return self._appender

    async def state(self) -> StreamState:
        """What the log says of itself."""
        return await stream_state(self.client)

    async def durability(self, state: StreamState) -> Durability:
        """What an acknowledgement means; the servers are asked once a minute at most."""
        now = asyncio.get_running_loop().time()
        if self._durability is None or now - self._asked > REPORT_SECONDS:
            self._durability = await durability(self.client, state, self._monitor_urls)
            self._asked = now
        return self._durability

    async def servers(self, state: StreamState) -> tuple[ServerState, ...]:
        """How each server stands whose monitoring address is known."""
        return await servers(self._monitor_urls, state.created)

    async def recorded(self, sequence: int) -> int | None:
        """When the log took a message, in microseconds since 1970; None where it has none there."""
        message = await read_one(self.client, sequence)
        return None if message is None else message.recorded // 1000
