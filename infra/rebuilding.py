"""Asking for projections to be built anew beside the ones that serve; the positions are the request and its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.errors import QudaoError
from infra.database import BUILDING, LIVE, RETIRED, STOPPED, Database, Position
from infra.positions import INDEX, REBUILD, insert_position
from infra.versions import version
from projections.projection import Projection


class RebuildError(QudaoError):
    """The projection cannot be rebuilt as asked."""

    code = "rebuild"


def ask_for_rebuild(database: Database, projections: Sequence[Projection]) -> dict[str, str]:
    """Enter a version to be built for each projection, and return it by name; one under way is gone on with.

    What has no version of this program yet needs none: a projector of this program builds it in any case.
    """
    positions = database.positions()
    index = next((p for p in positions if p.projection == INDEX and p.status == LIVE), None)
    if index is None:
        raise RebuildError("nothing serves yet in this database: start a projector, which builds everything")
    wanted = {}
    for projection in projections:
        name, base = projection.name, version(projection)
        mine = [p for p in positions if p.projection == name and p.version.split(REBUILD)[0] == base]
        under_way = [p.version for p in mine if p.status == BUILDING]
        if not mine or index.sequence == 0:
            wanted[name] = base
        elif under_way:
            wanted[name] = under_way[-1]
        else:
            wanted[name] = f"{base}{REBUILD}{1 + max(_number(p.version) for p in mine)}"
            position = Position(name, wanted[name], BUILDING, 0, index.store_id, index.stream_created)
            insert_position(database, position)
    return wanted


def _number(version: str) -> int:
    return int(version.partition(REBUILD)[2] or 0)


def still_building(database: Database, wanted: Mapping[str, str]) -> list[Position]:
    """What is asked for and does not serve yet. Raises RebuildError where one stopped or was replaced."""
    positions = database.positions()
    building = []
    for name, wanted_version in wanted.items():
        found = next((p for p in positions if (p.projection, p.version) == (name, wanted_version)), None)
        if found is None:
            building.append(Position(name, wanted_version, BUILDING, 0))
        elif found.status == STOPPED:
            raise RebuildError(
                f"{name} stopped after sequence {found.sequence}: {found.error or 'no reason given'}"
            )
        elif found.status == RETIRED:
            raise RebuildError(f"{name} {wanted_version} was replaced before it served: ask again")
        elif found.status != LIVE:
            building.append(found)
    return building


def index_sequence(database: Database) -> int:
    """How far stage 0 is, which is how far a rebuild has to come."""
    return max((p.sequence for p in database.positions() if p.projection == INDEX), default=0)
