"""A year flows in over NATS and HTTP while everything is killed, paused and cut off: nothing lost, nothing doubled."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from tests.torture.rounds import under_blows

pytestmark = pytest.mark.integration


# nats-py leaves a connection open that broke off while it was made.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", [20260302])
def test_kills_pauses_and_cuts_while_three_thousand_events_flow_change_nothing(
    tmp_path: Path, seed: int
) -> None:
    outcome = under_blows(tmp_path, seed, events=3_000, kills=5)
    gc.collect()  # so that what it left open is found here

    assert outcome.verdict.wrong == []
    assert (outcome.verdict.lost, outcome.verdict.doubled) == (0, 0)
    assert outcome.kills == 5
