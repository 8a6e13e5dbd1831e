"""Everything on this machine, to be killed, paused and cut off: `qudao up` in this process, its log behind proxies."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from cli.asking import Api, AskError
from cli.simulation import Published
from cli.supervisor import API, BACKOFF_SECONDS, NATS, PROJECTOR, Health, Supervisor, ask_health
from domain.errors import QudaoError
from infra.connection import Connection
from infra.database import Database
from infra.jetstream import connect
from infra.settings import Settings
from tests.torture.proxy import Proxy
from tests.torture.publishing import Said, publish

T = TypeVar("T")
AWAY_SECONDS = 90.0
LOOK_SECONDS = 0.02
VICTIMS = (NATS, PROJECTOR, API)
PUBLISHER = "publisher"


class StuckError(AssertionError):
    """Something that had to come did not."""


class Site:
    """`with Site(folder) as site:` all runs and is healthy; tend it, or what dies stays dead."""

    def __init__(self, folder: Path, database: str = "") -> None:
        self.folder = folder
        self.told: list[str] = []
        self.ways: dict[str, Proxy] = {}
        settings = Settings(data=str(folder), port=0, nats_port=0, database=database)
        self.supervisor = Supervisor(settings, self.told.append, ["--json"])
        self._proxies = ExitStack()
        self._read: Database | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End everything in order, the proxies last; twice does no harm."""
        for pid in self.supervisor.pids.values():
            os.kill(pid, signal.SIGCONT)
        self.supervisor.stop()
        self._proxies.close()
        if self._read is not None:
            self._read.close()
            self._read = None

    def _start(self) -> None:
        self.supervisor.start()
        self.supervisor.await_health()
        port = self.supervisor.settings.nats_port
        for name in (PROJECTOR, API, PUBLISHER):
            self.ways[name] = self._proxies.enter_context(Proxy(port))
        for child in self.supervisor.children:  # from now on over a way that can be cut
            child.environment = {**child.environment, "QUDAO_NATS": self.ways[child.name].url}
            os.kill(self.supervisor.pids[child.name], signal.SIGKILL)
        self.tend_until(self.well, "healthy behind the proxies")
        for child in self.supervisor.children:
            child.backoff_seconds = BACKOFF_SECONDS  # this death was part of starting

    # looking

    @property
    def nats(self) -> str:
        return self.supervisor.settings.nats

    @property
    def database(self) -> str:
        return self.supervisor.settings.database_url

    @property
    def api(self) -> Api:
        return Api(self.supervisor.settings.host, self.supervisor.settings.port)

    def health(self) -> Health | None:
        return ask_health(self.supervisor.settings.host, self.supervisor.settings.port)

    def well(self) -> bool:
        health = self.health()
        return health is not None and health.healthy

    def serves(self) -> bool:
        try:
            return bool(self.api.rows("events", limit=1))
        except AskError:
            return False

    def folded(self) -> int:
        """How far the furthest projection is."""
        try:
            if (
                self._read is None
            ):  # kept: to connect at every look would take what it looks at from its processor
                self._read = Database(self.database, read_only=True)
            return max((position.sequence for position in self._read.positions()), default=0)
        except QudaoError:
            return 0

    def with_log(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do something on a connection to the log that nothing cuts."""

        async def connected() -> T:
            client = await connect(self.nats, "torture", patience_seconds=30)
            try:
                return await work(client)
            finally:
                await client.close()

        return asyncio.run(connected())

    # doing

    def tend_until(
        self,
        holds: Callable[[], bool],
        what: str,
        *,
        seconds: float = AWAY_SECONDS,
        look: float = LOOK_SECONDS,
    ) -> float:
        """Restart what died until something holds; how many seconds that took. Raises StuckError."""
        began = time.monotonic()
        while not holds():
            if (waited := time.monotonic() - began) > seconds:
                health = self.health()
                faults = health.faults if health else "no answer"
                raise StuckError(
                    f"not {what} within {waited:.0f} s; health: {faults}; told: {self.told[-5:]}"
                )
            self.supervisor.tend()
            time.sleep(look)
        return time.monotonic() - began

    def pid(self, victim: str) -> int:
        self.tend_until(lambda: victim in self.supervisor.pids, f"running the {victim}")
        return self.supervisor.pids[victim]

    def kill(self, victim: str) -> None:
        os.kill(self.pid(victim), signal.SIGKILL)

    def level(self, said: Said) -> Callable[[], bool]:
        """Whether everything acknowledged is folded and everything is well."""
        return lambda: self.folded() >= max(said.at.values(), default=0) and self.serves() and self.well()

    def publish(
        self, pool: ThreadPoolExecutor, stream: list[Published], said: Said, seed: int
    ) -> Future[None]:
        """Let publishers begin, beside."""
        nats, api = self.ways[PUBLISHER].url, self.supervisor.url
        return pool.submit(lambda: asyncio.run(publish(nats, lambda: api, stream, said, seed)))
