from __future__ import annotations

import pytest

from infra.monitoring import Extent, ServerState, faults_of
from infra.stream import StreamState


def log(replicas: int) -> StreamState:
    return StreamState("s", 1, 1, 9, 9, 0, replicas, "file", "default", ())


WHOLE, HOLED = Extent(9, 1, 9), Extent(7, 1, 9)


def test_servers_that_hold_the_log_and_are_well_are_nothing_to_speak_of() -> None:
    states = [ServerState("a", True, held=WHOLE), ServerState("b", True, held=Extent(8, 1, 8))]

    assert faults_of(states, log(3)) == ([], [])


@pytest.mark.parametrize(
    ("replicas", "what_to_do"),
    [(1, "qudao repair"), (3, "stop it, remove its copy of the stream")],
)
def test_a_hole_is_a_fault_that_names_the_server_and_what_to_do(replicas: int, what_to_do: str) -> None:
    [fault], warnings = faults_of([ServerState("b", True, held=HOLED)], log(replicas))

    assert fault.startswith("The log has a hole on the server b: it holds 7 of the messages 1 to 9; ")
    assert what_to_do in fault
    assert warnings == []


def test_a_server_that_cannot_write_is_a_fault_where_it_is_the_only_one() -> None:
    ailing = ServerState("a", True, "no space left on device", WHOLE)

    assert faults_of([ailing], log(1)) == (["The server a is not well: no space left on device"], [])
    assert faults_of([ailing], log(3)) == ([], ["The server a is not well: no space left on device"])


def test_a_server_that_does_not_answer_is_a_warning_with_its_address() -> None:
    silent = ServerState("http://10.0.0.1:8222", False)

    assert faults_of([silent], log(3)) == ([], ["The server at http://10.0.0.1:8222 does not answer"])
