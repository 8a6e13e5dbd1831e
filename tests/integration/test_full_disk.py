"""A disk that fills under the log: health says so, nothing acknowledged is lost, and room is all it needs."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from log_events import outgoing

from domain.errors import QudaoError
from infra.append import Appender, Receipt
from infra.jetstream import connect
from infra.stream import stream_state
from tests.lab.disk import fill, small_disk
from tests.lab.qudao import eventually, up

pytestmark = pytest.mark.integration

SIZE, LEFT = 48 << 20, 1 << 20


def test_a_log_that_could_not_be_written_is_written_again_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "var", SIZE) as ballast:
        if ballast is None:
            pytest.skip("no small tmpfs can be mounted here")
        with up(tmp_path / "var") as site:
            receipts: list[Receipt] = []
            fill(ballast, shutil.disk_usage(tmp_path / "var").free - LEFT)
            asyncio.run(_append_until_refused(site.nats, receipts))
            red = eventually(lambda: "no space left" in " ".join(site.get("/health")[1]["faults"]))
            ballast.unlink()
            well = eventually(lambda: site.get("/health")[0] == 200, 20)
            last = asyncio.run(_append_one_more(site.nats, receipts))

    assert receipts, "there was room for nothing"
    assert (red, well) == (True, True)
    assert last >= len(receipts)


async def _append_until_refused(url: str, receipts: list[Receipt]) -> None:
    client = await connect(url, "test")
    appender = Appender(client, patience_seconds=0.2)
    try:
        for number in range(1, 100_000, 100):
            receipts += await appender.append([outgoing(n) for n in range(number, number + 100)])
    except QudaoError:
        return
    finally:
        await client.close()


async def _append_one_more(url: str, receipts: list[Receipt]) -> int:
    """Where one more event stands, after every one that was acknowledged; the sequence the log ends at."""
    client = await connect(url, "test")
    try:
        [receipt] = await Appender(client).append([outgoing(100_001)])
        state = await stream_state(client)
        assert state.contiguous
        assert receipt.sequence == state.last_sequence > max(one.sequence for one in receipts)
        return receipt.sequence
    finally:
        await client.close()
