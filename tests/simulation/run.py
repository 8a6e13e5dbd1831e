"""One run: a log grows, an engine folds it among faults, and in the end every table is what the log says."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from domain.catalogue import Rejected
from domain.chain import START, leaf, link
from domain.envelope import Payload, Recorded
from domain.event_types import CATALOGUE
from infra.database import BUILDING, LIVE, RETIRED, STOPPED, FenceError, Position
from infra.definitions import physical
from infra.documents import same_content
from infra.engine import Engine
from infra.message import Message
from infra.past import Past
from infra.positions import INDEX, LogError, insert_position
from infra.writer import CommitFailedError
from projections.documents import Change
from projections.events import EventFlag
from projections.orders import ORDERS
from projections.projection import Projection
from projections.rows import TABLES, Rows
from projections.stock import STOCK
from tests.lab.folding import LOG, shut
from tests.simulation.disk import Disk, slowly
from tests.simulation.logs import Published, messages, publish

GOOD = (ORDERS, STOCK)
FAULTS = 0.15
Rowset = list[tuple[Any, ...]]


class Wrong(AssertionError):
    """A law of the engine is broken."""


class Program(Engine):
    """An engine whose code is of some generation, which its versions tell."""

    def __init__(self, generation: int, *arguments: Any, **options: Any) -> None:
        self._generation = f"{generation:02x}"
        super().__init__(*arguments, **options)

    def _open(self) -> None:
        wanted = self._positions.wanted.items()
        self._positions.wanted = {name: version[:8] + self._generation for name, version in wanted}
        super()._open()


def empty_disk(folder: Path) -> Path:
    """A database with all tables and nothing in them, to be copied for every run."""
    path = folder / "empty.db"
    shut(Program(0, Disk(path, Random(0), 0), CATALOGUE, GOOD, LOG))
    return path


class World:
    """What a seed does to one engine; `steps` says what it did."""

    def __init__(self, seed: int, empty: Path) -> None:
        self.random = Random(seed)
        self.folder = empty.with_name(str(seed))
        self.folder.mkdir()
        self.path = self.folder / "disk.db"
        shutil.copy(empty, self.path)
        self.published: list[Published] = []
        self.steps: list[str] = []
        self.generation = 0  # of the program
        self.poison = 0  # the sequence at which the stock fold raises; 0: it is right
        self.engine = self._open()

    def run(self) -> None:
        """Grow, fold and fail for some steps, then heal and look at everything."""
        try:
            publish(self.random, self.published, self.random.randrange(3, 12))
            for _ in range(self.random.randrange(3, 10)):
                step = self.random.choice(STEPS)
                self.steps.append(step.__name__.lstrip("_"))
                step(self)
            self._heal()
            self._look()
        finally:
            with suppress(Exception):
                self.engine.database.close()
            shutil.rmtree(self.folder)  # with what a process that ended left beside the file

    @property
    def log(self) -> list[Message]:
        return messages(self.published)

    def _open(self) -> Engine:
        disk = Disk(self.path, self.random, 0)
        size = self.random.choice((1, 2, 5, 100))
        rows = self.random.choice((1, 3, 1000))
        writer = slowly(self.random)
        sizes = {"events_max": size, "rows_max": rows}
        engine = Program(self.generation, disk, CATALOGUE, self._projections(), LOG, **sizes, writer=writer)
        disk.faults = FAULTS
        return engine

    def _projections(self) -> Sequence[Projection]:
        poison = self.poison

        def fold(change: Change, rows: Rows) -> None:
            STOCK.fold(change, rows)
            if change.event.sequence == poison:
                raise ZeroDivisionError("a bug")

        return (ORDERS, msgspec.structs.replace(STOCK, fold=fold)) if poison else GOOD

    def reopen(self) -> None:
        """The process ended: what it had not written is gone."""
        self.engine.database.close()
        self.engine = self._open()

    def trying(self, work: Callable[[], Any]) -> None:
        """Do it; after a failed commit go back to what is on disk, as the projector does."""
        try:
            work()
        except CommitFailedError as error:
            if isinstance(error.__cause__, FenceError):
                self.reopen()
            else:
                self.engine.reset()

    def _heal(self) -> None:
        self.poison = 0
        self.engine.database.faults = 0  # type: ignore[attr-defined]
        self.reopen()
        self.engine.database.faults = 0  # type: ignore[attr-defined]
        self.engine.apply(self.log[self.engine.position.sequence :])
        self.engine.sync()
        self.engine.promote()
        while self.engine.build(3):
            pass

    def _look(self) -> None:
        """Hold everything to a second, separate reckoning of the same log."""
        engine, log = self.engine, self.log
        positions = engine.database.positions()
        serving = {p.projection: p for p in positions if p.status == LIVE}
        _same("what serves", sorted(serving), [INDEX, "orders", "stock"])
        _same("what is left", {p.status for p in positions} - {LIVE, RETIRED}, set())
        chain, mine = START, b""
        for message in log:
            mine = leaf(message.sequence, message.recorded, message.subject, message.body)
            chain = link(chain, mine)
        for position in serving.values():
            found = (position.sequence, position.leaf, position.chain)
            _same(f"the position of {position.projection}", found, (len(log), mine.hex(), chain.hex()))
        statuses, accepted = judged(log)
        rows = engine.database.rows(
            f"SELECT sequence, status FROM events__{engine.version} ORDER BY sequence"
        )
        _same("what became of every message", rows, list(enumerate(statuses, 1)))
        holders = engine.database.rows(
            f"SELECT sequence FROM identities__{engine.version} WHERE sequence > 0 ORDER BY sequence"
        )
        _same("who holds an identity", [n for (n,) in holders], [event.sequence for event in accepted])
        past = Past(GOOD)
        for event in accepted:
            past.take(event)
        past.write()
        for row, version in engine.live_tables():
            if row is not EventFlag and row not in {row for one in GOOD for row in one.rows}:
                continue
            stored = engine.database.rows(f"SELECT * FROM {physical(row, version)}")
            naive = past.connection.exec_driver_sql(f"SELECT * FROM {TABLES[row].name}__past").fetchall()
            _same(
                f"the rows of {TABLES[row].name}", sorted(stored), sorted(tuple(values) for values in naive)
            )
        past.close()


def judged(log: Sequence[Message]) -> tuple[list[str], list[Recorded[Payload]]]:
    """What becomes of every message, and the events that are taken, by the plain words of the contract."""
    statuses: list[str] = []
    holders: dict[tuple[str, str], Recorded[Payload]] = {}
    for message in log:
        try:
            event = CATALOGUE.read(message.sequence, message.recorded, message.subject, message.body)
        except Rejected as rejected:
            statuses.append(rejected.code)
            continue
        identity = event.event.source, event.event.id
        if identity not in holders:
            holders[identity] = event
            statuses.append("accepted")
        else:
            same = same_content(holders[identity].event, event.event)
            statuses.append("duplicate" if same else "conflict")
    return statuses, sorted(holders.values(), key=lambda event: event.sequence)


def _same(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Wrong(f"{what}: {found} instead of {wanted}")


# steps


def _publish(world: World) -> None:
    publish(world.random, world.published, world.random.randrange(1, 6))


def _deliver(world: World) -> None:
    """Some messages that follow, or come again."""
    at = world.engine.position.sequence
    first = world.random.randrange(max(0, at - 4), at + 1)
    world.trying(lambda: world.engine.apply(world.log[first : at + world.random.randrange(1, 9)]))


def _deliver_with_a_hole(world: World) -> None:
    """A message is missing: nothing of the batch may be folded."""
    before = world.engine.position
    batch = world.log[before.sequence : before.sequence + 6]
    if len(batch) < 3:
        return
    del batch[world.random.randrange(len(batch) - 1)]
    try:
        world.engine.apply(batch)
    except LogError:
        _same("the position after a hole", world.engine.position, before)
    except CommitFailedError:
        world.engine.reset()
    else:
        raise Wrong("a hole was folded over")


def _sync(world: World) -> None:
    world.trying(world.engine.sync)


def _crash(world: World) -> None:
    world.reopen()


def _other_program(world: World) -> None:
    """One with other code is started, or an earlier one again: all is folded anew beside what serves."""
    world.generation = world.random.randrange(3)
    world.reopen()


def _catch_up(world: World) -> None:
    world.trying(lambda: world.engine.apply(world.log[world.engine.position.sequence :]))
    world.trying(lambda: (world.engine.sync(), world.engine.promote()))


def _break_the_stock(world: World) -> None:
    """A program with a bug is started; the others go on."""
    world.poison = world.random.randrange(1, len(world.published) + 5)
    world.reopen()


def _mend_the_stock(world: World) -> None:
    world.poison = 0
    world.reopen()


def _build(world: World) -> None:
    with suppress(CommitFailedError):
        try:
            world.engine.build(world.random.randrange(1, 4))
        except CommitFailedError:
            world.engine.reset()
        except Exception as error:  # what builds commits at once, and the process ends with it
            if not str(error).startswith(("database", "disk")):
                raise
            world.reopen()


def _ask_for_a_rebuild(world: World) -> None:
    world.trying(world.engine.sync)
    names = {p.projection for p in world.engine.database.positions() if p.status == BUILDING}
    for member in world.engine.members:
        version = member.position.version.split("r")[0]
        if member.projection.name not in names and member.position.status == LIVE:
            there = {p.version for p in world.engine.database.positions()}
            beside = next(f"{version}r{n}" for n in range(1, 99) if f"{version}r{n}" not in there)
            insert_position(
                world.engine.database,
                Position(member.projection.name, beside, BUILDING, 0, LOG.store_id, LOG.created),
            )
            break
    world.engine.look_for_rebuilds()


def _second_engine(world: World) -> None:
    """Another projector folds on: the first must not write any more."""
    world.trying(world.engine.sync)
    first = world.engine
    at = first.position.sequence
    if at >= len(world.published):
        return
    second = world._open()
    second.database.faults = 0  # type: ignore[attr-defined]
    second.apply(world.log[second.position.sequence : at + 2])
    second.sync()
    first.database.faults = 0  # type: ignore[attr-defined]
    try:
        first.apply(world.log[at : at + 3])
        first.sync()
    except CommitFailedError as error:
        if not isinstance(error.__cause__, FenceError):
            raise
    except FenceError:  # it has already read what the other wrote
        pass
    else:
        raise Wrong("two projectors wrote to one database")
    first.database.close()
    world.engine = second
    second.database.faults = FAULTS  # type: ignore[attr-defined]


def _cut(world: World) -> None:
    """The log ends before the position: refused, and nothing is changed."""
    position = world.engine.position
    if not position.sequence:
        return
    try:
        world.engine.check_log(LOG, position.sequence - 1)
    except LogError:
        _same("the position after a cut", world.engine.position, position)
    else:
        raise Wrong("a log that was cut is taken")


STEPS = (
    *(_publish, _publish, _deliver, _deliver, _deliver, _deliver, _deliver_with_a_hole),
    *(_sync, _sync, _crash, _break_the_stock, _mend_the_stock, _build, _build),
    *(_ask_for_a_rebuild, _second_engine, _cut, _other_program, _catch_up),
)

__all__ = ["STOPPED", "World", "Wrong", "empty_disk"]
