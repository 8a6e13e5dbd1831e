"""The projector: a FastStream application that catches up with the log, then follows its live end."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from faststream import FastStream
from faststream.nats import NatsBroker
from nats.aio.client import Client

from consumers.tail import log_broker, tail
from domain.catalogue import Catalogue
from domain.chain import leaf
from domain.errors import QudaoError
from domain.gaps import Gap, covered
from infra.database import Database, FenceError, Position
from infra.decisions import accepted_gaps
from infra.engine import Engine
from infra.jetstream import JetStreamError, LogUnreachableError, connect
from infra.lookups import read_one
from infra.message import Message
from infra.positions import Log, LogError
from infra.reader import LogHoleError, Reader
from infra.stream import stream_state
from infra.writer import CommitFailedError
from projections.projection import Projection

log = logging.getLogger("qudao.projector")

REQUESTS_SECONDS = 1.0
AGAIN_SECONDS = 0.5
T = TypeVar("T")
Progress = Callable[[int, int], None]


def spare_the_collector() -> None:
    """Let Python look for cycles rarely: a projector makes none, and its caches are long to walk through."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


class _NotFollowedError(QudaoError):
    """The live end does not say what follows: catching up does, or says that it is lost."""

    code = "not_followed"


class Projector:
    """Folds one log into one database until cancelled; nothing it does depends on how often it is killed."""

    def __init__(
        self,
        nats_url: str,
        database: Database,
        catalogue: Catalogue,
        projections: tuple[Projection, ...],
        *,
        batch_max: int = 1000,
        progress: Progress | None = None,
    ) -> None:
        self._nats_url = nats_url
        self._database = database
        self._catalogue = catalogue
        self._projections = projections
        self._batch_max = batch_max
        self._progress = progress or (lambda done, last: None)
        # Folding and its database work stay on one thread; the event loop goes on reading meanwhile.
        self._folder = ThreadPoolExecutor(1, thread_name_prefix="folder")
        self._engine: Engine | None = None
        self.failure: Exception | None = None

    def app(self) -> FastStream:
        """The application; after its `run` the reason for an end that was not asked for is in `failure`."""
        broker = log_broker(self._nats_url, "qudao-projector")

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[None]:
            work = asyncio.create_task(self.run(broker))
            work.add_done_callback(lambda _: app.exit())
            try:
                yield
            finally:
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work

        app = FastStream(broker, lifespan=lifespan, logger=None)
        return app

    async def run(self, broker: NatsBroker) -> None:
        """Catch up and follow; begin again after what passes, stop on what does not."""
        spare_the_collector()
        try:
            while True:
                try:
                    await self.catch_up()
                    await broker.connect()
                    await self._follow(broker)
                except _NotFollowedError as error:
                    log.warning("%s; reading on without the live end", error)
                except CommitFailedError as error:
                    if isinstance(error.__cause__, FenceError):
                        raise error.__cause__ from None
                    log.error("a batch was not written (%s); going back to what is", error.__cause__)
                    await self._fold(self.engine.reset)
                except LogUnreachableError as error:
                    log.warning("%s; trying again", error)
                await asyncio.sleep(AGAIN_SECONDS)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.failure = error
            if not isinstance(error, FenceError) and self._engine is not None:
                with suppress(Exception):
                    await self._fold(self.engine.note_error, str(error))
            if not isinstance(error, QudaoError):
                log.exception("the projector failed")
        finally:
            await self._close()

    @property
    def engine(self) -> Engine:
        assert self._engine is not None, "the engine opens with the first catch-up"
        return self._engine

    async def catch_up(self) -> None:
        """Fold what the log has and the positions have not, and let new versions serve that are level."""
        client = await connect(self._nats_url, "qudao-catch-up")
        try:
            state = await stream_state(client)
            if self._engine is None:
                self._engine = await self._fold(
                    Engine,
                    self._database,
                    self._catalogue,
                    self._projections,
                    Log(state.store_id, state.created),
                )
            engine = self.engine
            engine.check_log(Log(state.store_id, state.created), state.last_sequence)
            engine.gaps = await accepted_gaps(client)
            position = engine.position
            await _check_last(client, position, engine.gaps)
            if position.sequence < state.last_sequence:
                reader = Reader(
                    client,
                    after=position.sequence,
                    until=state.last_sequence,
                    gaps=engine.gaps,
                    batch_max=self._batch_max,
                )
                async with reader:
                    async for batch in reader:
                        await self._fold(engine.apply, batch)
                        self._progress(batch[-1].sequence, state.last_sequence)
            await self._fold(engine.sync)
            await self._fold(engine.promote)
            if engine.position.error:
                await self._fold(engine.note_error, "")
        finally:
            await client.close()

    async def _follow(self, broker: NatsBroker) -> None:

        async def handle(batch: list[Message]) -> None:
            await self._fold(self._apply_and_sync, batch)

        async def verify() -> None:
            position = await self._fold(lambda: self.engine.position)
            try:
                await _check_last(broker.connection, position, self.engine.gaps)
            except JetStreamError as error:
                if not error.passing:
                    raise
                raise LogUnreachableError(str(error)) from error

        position = self.engine.position.sequence
        work = [
            asyncio.create_task(self._build()),
            asyncio.create_task(tail(broker, position, handle, verify=verify, batch_max=self._batch_max)),
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except LogHoleError as error:  # the live end does not bring every subject that the server takes
            raise _NotFollowedError(str(error)) from error
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    def _apply_and_sync(self, batch: list[Message]) -> None:
        self.engine.apply(batch)
        self.engine.sync()

    async def _build(self) -> None:
        """Bring up what is behind, in steps between the live batches; look for rebuilds asked for."""
        while True:
            while self.engine.behind:
                await self._fold(self.engine.build)
            await asyncio.sleep(REQUESTS_SECONDS)
            await self._fold(self.engine.look_for_rebuilds)

    async def _fold(self, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        task = loop.run_in_executor(self._folder, lambda: work(*arguments))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            with suppress(Exception):
                await task
            raise

    async def _close(self) -> None:
        if self._engine is not None:
            await self._fold(self._engine.close)
        self._folder.shutdown()


async def _check_last(client: Client, position: Position, gaps: Sequence[Gap]) -> None:
    """Compare the message at a position with the one that was folded, unless it is lost. Raises LogError."""
    if position.sequence:
        found = await read_one(client, position.sequence, from_leader=True)
        if found is None and covered(gaps, position.sequence, position.sequence):
            return
        check_leaf(position.sequence, position.leaf, found)


def check_leaf(sequence: int, expected: str, found: Message | None) -> None:
    """Refuse a log whose message at a position is not the one that was folded. Raises LogError."""
    if found is None:
        raise LogError(
            f"the log has no message {sequence}, which was folded: it was cut or replaced. Restore it from a backup"
        )
    if leaf(found.sequence, found.recorded, found.subject, found.body).hex() != expected:
        raise LogError(
            f"message {sequence} of the log is not the one that was folded: the log was replaced or altered. "
            "Restore it from a backup, or build a new database from this log"
        )
