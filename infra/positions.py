"""Which versions of the projections a database holds, which of them are this program's, and which serve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from domain.errors import QudaoError
from infra.database import BUILDING, LIVE, RETIRED, STOPPED, Commit, Database, Move, Position, Run
from infra.documents import ROWS
from infra.versions import stage_0_version, version
from projections.projection import Projection
from projections.rows import Row

INDEX = "index"  # stage 0's own name among the positions
REBUILD = "r"  # separates a rebuild's number from the version's hexadecimal digits


class LogError(QudaoError):
    """The log is not the one, or no longer the whole one, that the positions were made from."""

    code = "log"


class Log(Struct, frozen=True):
    """What tells one log from another."""

    store_id: str
    created: int


class Positions:
    """The positions of one database, as a program with these projections sees them.

    A version that is `building` catches up beside the one that serves, which is `live`, or `stopped` at what it
    could not fold. A `retired` one serves no more, and is gone on with where a program wants it again.
    """

    def __init__(self, database: Database, projections: Sequence[Projection], log: Log) -> None:
        self._database = database
        self._projections = projections
        self.log = log
        #: The version that this program makes, by projection, stage 0 among them.
        self.wanted = {INDEX: stage_0_version(), **{p.name: version(p) for p in projections}}

    def is_mine(self, position: Position) -> bool:
        """Whether a version, or a rebuild of it, is made by this program's code."""
        return position.version.split(REBUILD)[0] == self.wanted.get(position.projection)

    def check(self, position: Position, log: Log) -> None:
        """Refuse another log than the one a position was made from. Raises LogError."""
        if (position.store_id, position.stream_created) != (log.store_id, log.created):
            raise LogError(
                f"the database was made from the log {position.store_id} (created {position.stream_created}), but "
                f"this is {log.store_id} (created {log.created}): connect to the right server, or give "
                "a new database to be built from this log"
            )

    # opening

    def index(self, found: Sequence[Position]) -> Position:
        """Stage 0's position: the one found, or a new one that serves where none does yet. Raises LogError."""
        mine = [p for p in found if (p.projection, p.version) == (INDEX, self.wanted[INDEX])]
        if not mine:
            first = not any(p.projection == INDEX and p.status == LIVE for p in found)
            mine = [self._create(INDEX, LIVE if first else BUILDING)]
        [position] = mine
        self.check(position, self.log)
        return self._again(position) if position.status == RETIRED else position

    def of(self, projection: Projection, found: Iterable[Position], index: Position) -> list[Position]:
        """Those of a projection's present version and of its rebuilds; a new one where there is none."""
        wanted = self.wanted[projection.name]
        mine = [p for p in found if p.projection == projection.name and self.is_mine(p)]
        active = [p for p in mine if p.status != RETIRED]
        for position in active:
            self._database.create(projection.rows, position.version)
        if active:
            return active
        self._database.create(projection.rows, wanted)
        for position in mine:  # an earlier version is wanted again: go on where it was left
            if position.version == wanted:
                return [self._again(position)]
        status = LIVE if index.status == LIVE and index.sequence == 0 else BUILDING
        return [self._create(projection.name, status)]

    def give_up(self, found: Sequence[Position]) -> None:
        """Retire what other programs built and nothing is served from: it is gone on with if they come back."""
        served = {p.projection for p in found if p.status == LIVE}
        for position in found:
            idle = position.status == BUILDING or (
                position.status == STOPPED and position.projection in served
            )
            if idle and not self.is_mine(position):
                self._change(position, RETIRED)

    def _create(self, name: str, status: str) -> Position:
        position = Position(name, self.wanted[name], status, 0, self.log.store_id, self.log.created)
        insert_position(self._database, position)
        return position

    def _again(self, position: Position) -> Position:
        """Go on with a version that was retired."""
        return self._change(position, BUILDING)

    def _change(self, position: Position, status: str) -> Position:
        changed = msgspec.structs.replace(position, status=status)
        self._database.commit(Commit((), (Move(position, changed),)))
        return changed

    # serving

    def serving(self) -> list[Position]:
        """What people are shown now, whoever made it."""
        return [p for p in self._database.positions() if p.status in (LIVE, STOPPED)]

    def retire(self, run: Run, older: Iterable[Position]) -> None:
        """Let versions serve no more, within the caller's transaction."""
        for position in older:
            self._database.move(run, Move(position, msgspec.structs.replace(position, status=RETIRED)))

    def tables(self, members: Iterable[tuple[Projection, Position]]) -> Iterator[tuple[type[Row], str]]:
        """Stage 0's tables, and of every projection those of the version that serves: row type, version.

        `members` are this program's, the later one before the earlier where there are two; what none of them
        serves is shown as another program made it.
        """
        yield from [(row, self.wanted[INDEX]) for row in ROWS]
        # Its own, where it has one; of its own, those at work.
        newest = {p.projection: p.version for p in sorted(self.serving(), key=self.is_mine)}
        newest |= {p.name: at.version for p, at in members if at.status in (LIVE, STOPPED)}
        for projection in self._projections:
            if projection.name in newest:
                yield from [(row, newest[projection.name]) for row in projection.rows]


def insert_position(database: Database, position: Position) -> None:
    """Enter a version of a projection among the positions; its tables are made when a projector opens it."""
    with database.transaction() as run:
        run(
            database.sql.marked("INSERT INTO positions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            tuple(getattr(position, field) for field in position.__struct_fields__),
        )
