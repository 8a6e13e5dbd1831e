"""The engine: batches of the log in, rows and positions out, in one transaction; exactly once by construction."""

from __future__ import annotations

import decimal
import gc
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain

import msgspec
from msgspec import Struct

from domain.catalogue import Catalogue
from domain.chain import START, gap_leaf, leaf, link
from domain.gaps import Gap, covered
from domain.numbers import EXACT
from infra.cache import Cache
from infra.database import (
    BUILDING,
    LIVE,
    STOPPED,
    Commit,
    Database,
    FenceError,
    Move,
    Position,
    Run,
    Statement,
)
from infra.documents import Documents
from infra.message import Message
from infra.positions import INDEX, Log, LogError, Positions
from infra.writer import CommitFailedError, Writer
from projections.documents import Change
from projections.projection import Projection
from projections.rows import TABLES, Row

ROWS_MAX = 4_000  # rows of one table kept in memory
BYTES_MAX = 2_500_000  # bodies of documents kept in memory
EVENTS_MAX = (
    4_000  # folded before they are committed: what many events change is then encoded and written once
)
CHANGED_MAX = 64_000  # rows changed before they are committed, where events are large


class Member(Struct):
    """One version of a projection at work: its rows in memory and its place in the database."""

    projection: Projection
    cache: Cache
    position: Position


class Engine:
    """All projections of one database. Not for two threads: one folds, the writer's own thread commits.

    The main group stands at stage 0's position and is fed from the log by `apply`. Members that are behind, new
    or being rebuilt are brought up from stage 0's rows by `build`, and join when they are level.
    """

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        projections: Sequence[Projection],
        log: Log,
        *,
        rows_max: int = ROWS_MAX,
        events_max: int = EVENTS_MAX,
        valid_at: datetime | None = None,
        writer: Callable[[Database], Writer] = Writer,
    ) -> None:
        """With `valid_at` it makes a past: what was not true by then is not folded."""
        self.database = database
        self._valid_at = valid_at
        self._catalogue = catalogue
        self._projections = projections
        self._rows_max = rows_max
        self._events_max = events_max
        self._joined = [row for p in projections for row in p.views if TABLES[row].sql]
        self._positions = Positions(database, projections, log)
        self.gaps: Sequence[Gap] = ()  # that the log may have
        self._passed: list[Gap] = []
        self.seconds = dict.fromkeys(("hash", "decode", "load", "fold", "encode", "write"), 0.0)
        self.seconds_by_projection = {p.name: 0.0 for p in projections}
        self._open()
        self._writer = writer(database)
        self._let_go = 0  # up to where memory was given up after a commit

    # opening

    def _open(self) -> None:
        Documents.create(self.database, self.version)
        self._documents = Documents(self.database, self._catalogue, self.version, BYTES_MAX, self._valid_at)
        found = self.database.positions()
        self.position = self._positions.index(found)
        self._positions.give_up(found)
        self.members: list[Member] = []
        self.behind: list[Member] = []
        for projection in self._projections:
            for position in self._positions.of(projection, found, self.position):
                cache = Cache(self.database, projection.rows, position.version, self._rows_max)
                member = Member(projection, cache, position)
                # Level but not switched: killed between the two, it joins with the next step of `build`.
                level = (position.sequence, position.status) == (self.position.sequence, self.position.status)
                (self.members if level else self.behind).append(member)
        if self.position.status == LIVE:
            with self.database.transaction() as run:
                self.database.point_views(run, self.live_tables(), self._joined)
        self._begin()

    def _begin(self) -> None:
        """Nothing is folded that was not handed to the writer."""
        self._stored = self.position
        #: What leaf and chain were at the stored position and at every sequence folded since.
        self._hashes = [(bytes.fromhex(self.position.leaf), bytes.fromhex(self.position.chain) or START)]
        self._changes: list[Change] = []
        self._stopped: list[tuple[list[Statement], Move]] = []

    def check_log(self, log: Log, last_sequence: int) -> None:
        """Refuse a log that was replaced, or that ends before the position. Raises LogError."""
        self._positions.log = log
        self._positions.check(self.position, log)
        if last_sequence < self.position.sequence:
            raise LogError(
                f"the log ends at {last_sequence}, but {self.position.sequence} was folded: it was cut. Restore it "
                "from a backup, or build a new database from this log"
            )

    # the main group

    def apply(self, messages: Sequence[Message]) -> None:
        """Fold messages that follow the position. What was folded before is skipped; a hole stops with LogError.

        Returns before the messages are on disk: many are committed together, `sync` waits for all. Raises
        CommitFailedError where an earlier commit failed: then `reset` and read again from the position; FenceError
        where another projector wrote.
        """
        fresh, newest = [], self.position.sequence
        for message in messages:  # a redelivery may begin anew within one batch
            if message.sequence > newest:
                fresh.append(message)
                newest = message.sequence
        if fresh:
            with _collector_paused():
                try:
                    self._take_in(fresh)
                except (LogError, CommitFailedError):
                    raise
                except Exception:
                    self._check_alone()
                    raise

    def _check_alone(self) -> None:
        """Raise FenceError where somebody else wrote: what does not fit together is then no bug."""
        for position in self.database.positions():
            mine = (position.projection, position.version) == (INDEX, self.version)
            if mine and position.sequence > self._stored.sequence:
                raise FenceError(
                    f"the database is at {position.sequence}, and this projector wrote {self._stored.sequence}: "
                    "another projector writes to it; this one stops before counting twice"
                )

    def _take_in(self, fresh: Sequence[Message]) -> None:
        clock = time.perf_counter()
        hashes = self._hash(fresh)
        clock = self._spent("hash", clock)
        self._committed()
        with decimal.localcontext(EXACT):
            changes = self._documents.take_in(fresh)
            self._spent("decode", clock)
            self._hashes += hashes
            self.position = self._at(self.position, fresh[-1].sequence)
            for member in list(self.members):
                self._fold(member, changes)
            self._changes += changes
            if (
                self.position.sequence - self._stored.sequence >= self._events_max
                or sum(member.cache.changed for member in self.members) >= CHANGED_MAX
            ):
                self._commit()

    def _hash(self, messages: Sequence[Message]) -> list[tuple[bytes, bytes]]:
        expected = self.position.sequence
        chain = self._hashes[-1][1]
        hashes = []
        for message in messages:
            expected += 1
            if message.sequence != expected and covered(self.gaps, expected, message.sequence - 1):
                gap = Gap(expected, message.sequence - 1)
                missing = gap_leaf(gap.first, gap.last)
                chain = link(chain, missing)
                hashes += [(missing, chain)] * (message.sequence - expected)
                self._passed.append(gap)
                expected = message.sequence
            if message.sequence != expected:
                raise LogError(
                    f"the log has a hole: after sequence {expected - 1} came {message.sequence}. Nothing was folded "
                    "beyond it: `qudao repair` says what can be done"
                )
            mine = leaf(message.sequence, message.recorded, message.subject, message.body)
            chain = link(chain, mine)
            hashes.append((mine, chain))
        return hashes

    def _fold(self, member: Member, changes: Sequence[Change]) -> None:
        """Fold a batch of the main group; a fold that raises is a bug, which stops its projection and no other."""
        try:
            self._fold_changes(member, changes)
        except Exception:
            self._stop(member, [*self._changes, *changes])

    def _fold_changes(self, member: Member, changes: Sequence[Change]) -> None:
        mine = [change for change in changes if change.kind in member.projection.kinds]
        if not mine:
            return
        clock = time.perf_counter()
        keys, fold, cache = member.projection.keys, member.projection.fold, member.cache
        cache.announce(chain.from_iterable(map(keys, mine)))
        if (further := member.projection.further) is not None:
            for wave in further(mine, cache):
                cache.announce(wave)
        clock = self._spent("load", clock)
        for change in mine:
            fold(change, cache)
        now = self._spent("fold", clock)
        self.seconds_by_projection[member.projection.name] += now - clock

    def _stop(self, member: Member, changes: Sequence[Change]) -> None:
        """Take a member out of the main group, at the last event before the one that it cannot fold."""
        statements, sequence, error = self._fold_until_failure(member, changes)
        moved = self._at(member.position, sequence)
        moved = msgspec.structs.replace(moved, status=STOPPED, error=error)
        self._stopped.append((statements, Move(member.position, moved)))
        self.members.remove(member)

    def _fold_until_failure(
        self, member: Member, changes: Sequence[Change]
    ) -> tuple[list[Statement], int, str]:
        """What the changes before the one that fails store, the last sequence before it, and what happened."""
        mine = [change for change in changes if change.kind in member.projection.kinds]
        error, good = "", len(mine)
        statements: list[Statement] = []
        for attempt in range(2):  # the first finds the event, the second leaves nothing of it in the cache
            self._writer.drain()
            member.cache.drop()
            statements.clear()
            for number, change in enumerate(mine[:good]):
                try:
                    self._fold_changes(member, [change])
                    statements += member.cache.take(change.event.sequence)
                except Exception:
                    assert attempt == 0, "folds are pure: what worked once works again"
                    event = change.event
                    error = f"{event.type} at sequence {event.sequence}:\n{traceback.format_exc()}"
                    good = number
                    break
        if good == len(mine):
            raise AssertionError(
                f"{member.projection.name}: a fold failed once and not again: it is not pure"
            )
        return statements, mine[good].event.sequence - 1, error

    def _at(self, position: Position, sequence: int) -> Position:
        """A position moved to a sequence that was folded since the last commit."""
        here, chained = self._hashes[sequence - self._stored.sequence]
        return msgspec.structs.replace(
            position, sequence=sequence, leaf=here.hex(), chain=chained.hex(), error=""
        )

    def _commit(self) -> None:
        """Hand all that is folded to the writer."""
        last = self.position.sequence
        if last == self._stored.sequence:
            return
        clock = time.perf_counter()
        statements = self._documents.take(last)
        for member in list(self.members):
            try:
                statements += member.cache.take(last)
            except Exception:  # a figure that no column holds
                self._stop(member, self._changes)
        statements += [self.database.record(gap) for gap in self._passed]
        self._passed = []
        moves = [Move(self._stored, self.position)]
        for stored, move in self._stopped:
            statements += stored
            moves.append(move)
        for member in self.members:
            moved = self._at(member.position, last)
            moves.append(Move(member.position, moved))
            member.position = moved
        self._begin()
        clock = self._spent("encode", clock)
        self._writer.submit(last, Commit(statements, moves))
        self._spent("write", clock)

    def _committed(self) -> None:
        done = self._writer.committed
        if done == self._let_go:
            return
        self._let_go = done
        self._documents.committed(done)
        for member in self.members:
            member.cache.committed(done)

    def sync(self) -> None:
        """Commit everything applied and wait until it is on disk. Raises CommitFailedError."""
        with decimal.localcontext(EXACT):
            self._commit()
        self._writer.drain()
        self._committed()

    def reset(self) -> None:
        """After a failed commit: forget what is in memory, go back to what the database says."""
        self._writer.reset()
        self._let_go = 0
        self._open()

    def close(self) -> None:
        """Commit what is folded, unless a commit failed before."""
        with suppress(CommitFailedError), decimal.localcontext(EXACT):
            self._commit()
        self._writer.close()

    @property
    def version(self) -> str:
        """Stage 0's."""
        return self._positions.wanted[INDEX]

    @property
    def single_reads(self) -> int:
        """Rows that no projection had announced."""
        return sum(member.cache.single_reads for member in (*self.members, *self.behind))

    def _spent(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self.seconds[stage] += now - since
        return now

    # members that are behind

    def build(self, limit: int = 2000) -> bool:
        """Bring the first member that is behind one step further; False where nothing is left to do."""
        if not self.behind:
            return False
        self.sync()
        member = self.behind[0]
        until = self.position.sequence
        with decimal.localcontext(EXACT):
            reached, changes = self._documents.replay(member.position.sequence, until, limit)
            moved = msgspec.structs.replace(member.position, sequence=reached, leaf="", chain="", error="")
            try:
                self._fold_changes(member, changes)
                statements = member.cache.take(reached)
            except Exception:
                statements, sequence, error = self._fold_until_failure(member, changes)
                moved = msgspec.structs.replace(moved, sequence=sequence, status=STOPPED, error=error)
        self.database.commit(Commit(statements, (Move(member.position, moved),)))
        member.cache.committed(moved.sequence)
        member.position = moved
        if moved.error:
            self.behind.remove(member)
        elif reached == until:
            self._join(member)
        return bool(self.behind)

    def _join(self, member: Member) -> None:
        """A member is level with the main group: let it serve, and retire what it replaces, in one transaction."""
        now = self.position
        level = msgspec.structs.replace(member.position, leaf=now.leaf, chain=now.chain, status=now.status)
        older = [
            p
            for p in self._positions.serving()
            if p.projection == level.projection and p.version != level.version
        ]
        with self.database.transaction() as run:
            self.database.move(run, Move(member.position, level))
            self.behind.remove(member)
            member.position = level
            self.members = [m for m in self.members if m.projection is not member.projection] + [member]
            if level.status == LIVE:
                self._retire(run, older)
                self.database.point_views(run, self.live_tables(), self._joined)

    def _retire(self, run: Run, older: Sequence[Position]) -> None:
        """Let versions serve no more, those neither that stopped and are still to be brought up."""
        self._positions.retire(run, older)
        gone = {(p.projection, p.version) for p in older}
        self.behind = [m for m in self.behind if (m.projection.name, m.position.version) not in gone]

    def look_for_rebuilds(self) -> None:
        """Take up versions that were entered among the positions since the engine was opened."""
        at_work = {(m.projection.name, m.position.version) for m in (*self.members, *self.behind)}
        found = self.database.positions()
        for projection in self._projections:
            for position in self._positions.of(projection, found, self.position):
                if position.status == BUILDING and (projection.name, position.version) not in at_work:
                    cache = Cache(self.database, projection.rows, position.version, self._rows_max)
                    self.behind.append(Member(projection, cache, position))

    def note_error(self, error: str) -> None:
        """Write down why the projector stops, for /health to show; what was folded before it is kept."""
        try:
            self.sync()
        except CommitFailedError:
            self.reset()
        noted = msgspec.structs.replace(self.position, error=error)
        with self.database.transaction() as run:
            self.database.move(run, Move(self.position, noted))
        self.position = self._stored = noted

    def promote(self) -> None:
        """A new version of stage 0 has caught up with the log: let it and its members serve instead of the old."""
        if self.position.status == LIVE:
            return
        self.sync()
        older = [p for p in self._positions.serving() if not self._positions.is_mine(p)]
        with self.database.transaction() as run:
            self._retire(run, older)
            live = msgspec.structs.replace(self.position, status=LIVE)
            self.database.move(run, Move(self.position, live))
            self.position = self._stored = live
            for member in self.members:
                live = msgspec.structs.replace(member.position, status=LIVE)
                self.database.move(run, Move(member.position, live))
                member.position = live
            self.database.point_views(run, self.live_tables(), self._joined)

    def live_tables(self) -> list[tuple[type[Row], str]]:
        """The tables that people are shown: row type, version."""
        return list(self._positions.tables((m.projection, m.position) for m in (*self.behind, *self.members)))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Half a million objects live as long as a batch and form no cycles: walking through them cost a twelfth."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
