from __future__ import annotations

from msgspec.structs import replace

from cli.status import Status, lines_of, status_of
from infra.database import BUILDING, LIVE, STOPPED, Position
from infra.durability import Durability
from infra.stream import StreamState

STREAM = StreamState("store", 1, 1, 100, 100, 0, 1, "file", "default", ())
MEANS = Durability("disk", "An acknowledged event is on disk.")
NOW = 1_000_000_000
LEVEL = Position("orders", "v", LIVE, 100, "store", 1, updated=NOW - 60_000_000)


def status(*positions: Position) -> Status:
    return status_of(list(positions), STREAM, MEANS, [], 10, NOW)


def test_a_level_projection_is_well_however_long_nothing_came() -> None:
    found = status(LEVEL)

    assert found.healthy
    assert (found.projections[0].lag, found.projections[0].lag_seconds) == (0, 0.0)


def test_a_projection_that_moves_is_well_however_far_it_is_behind() -> None:
    moving = replace(LEVEL, sequence=1, updated=NOW - 500_000)

    assert status(moving).healthy
    assert status(moving).projections[0].lag_seconds == 0.5


def test_a_projection_that_has_events_and_does_not_move_is_behind() -> None:
    [fault] = status(replace(LEVEL, sequence=90)).faults

    assert fault == "orders is 10 events behind and has not moved for 60 s: does a projector run?"


def test_a_stopped_projection_is_named_with_its_reason() -> None:
    stopped = replace(LEVEL, status=STOPPED, sequence=7, error="order.placed.v1 at sequence 8:\nTraceback …")

    assert status(stopped).faults == ("orders stopped after sequence 7: order.placed.v1 at sequence 8:",)


def test_a_log_that_ends_before_a_position_or_is_another_is_told() -> None:
    cut = status(replace(LEVEL, sequence=101))
    other = status(replace(LEVEL, store_id="other"))

    assert cut.faults == ("orders stands at 101, but the log ends at 100: it was cut",)
    assert other.faults == ("orders was made from another log (store other)",)


def test_a_version_that_is_being_built_is_shown_beside_the_one_that_serves() -> None:
    found = status(LEVEL, replace(LEVEL, version="vr1", status=BUILDING, sequence=40, updated=NOW))

    assert found.healthy
    assert any("vr1" in line and "building" in line for line in lines_of(found))
