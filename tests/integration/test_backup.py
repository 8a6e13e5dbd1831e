"""The drill: a copy of the log is taken while it goes on, all is lost, and what comes back is the same."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from cli.simulation import events
from cli.simulation.publishing import publish
from infra.append import Appender
from infra.jetstream import connect
from tests.lab.events import order
from tests.lab.qudao import answer, qudao, up

pytestmark = pytest.mark.integration

ASKED = (
    "/orders?sum=net&by=status",
    "/stock_levels?sum=on_hand&by=location&limit=1000",
    "/dealer_sales?sum=ordered_net&by=dealer",
    "/flags?limit=1000",
    "/events?sum=of&by=status,type",
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder and a copy of its log, taken while events arrived; no process runs any more."""
    folder = tmp_path_factory.mktemp("kept")
    with up(folder / "var") as site:
        sent = asyncio.run(_fill(site.nats, 1500))
        site.rows("stock_levels", sent)
        more = asyncio.run(_both(site.nats, folder))
        site.rows("stock_levels", more)
    return folder


async def _fill(url: str, count: int, seed: int = 7) -> int:
    client = await connect(url, "test")
    try:
        return (await publish(Appender(client), events(seed, events=count))).last_sequence
    finally:
        await client.close()


async def _both(url: str, folder: Path) -> int:
    """Take a copy while more events arrive."""
    copying = asyncio.create_task(
        asyncio.to_thread(qudao, "backup", folder / "copy", "--nats", url, "--json")
    )
    last = await _fill(url, 300, seed=8)
    ended = await copying
    assert ended.returncode == 0, ended.stderr
    assert 1500 <= answer(ended)["last_sequence"] <= last
    return last


def test_a_log_that_is_lost_comes_back_and_the_database_is_built_from_it(kept: Path, tmp_path: Path) -> None:
    ended = qudao("restore", kept / "copy", "--data", tmp_path / "var")

    assert ended.returncode == 0, ended.stderr
    assert "proved by their chain" in ended.stdout
    with up(tmp_path / "var") as site:
        last = site.get("/health")[1]["log"]["last_sequence"]
        site.rows("stock_levels", last)
        status, _ = site.post("/events", order("SO-NEW", "D1", ("COLA", 1)))
        assert status == 201
        checked = qudao("check", "--data", tmp_path / "var", "--json")
    assert answer(checked)["equal"]


def test_a_database_that_is_of_the_copy_goes_on_with_it(kept: Path, tmp_path: Path) -> None:
    data = tmp_path / "var"
    qudao("restore", kept / "copy", "--data", data)
    with up(data) as site:
        site.rows("stock_levels", site.get("/health")[1]["log"]["last_sequence"])
        before = [site.get(path)[1] for path in ASKED]
    shutil.rmtree(data / "nats")

    ended = qudao("restore", kept / "copy", "--data", data)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    with up(data) as site:
        assert [site.get(path)[1] for path in ASKED] == before
        assert site.get("/health")[0] == 200
        assert answer(qudao("check", "--data", data, "--json"))["equal"]


def test_a_database_that_is_ahead_of_the_copy_is_not_adopted(kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept / "var", tmp_path / "var")
    with up(tmp_path / "var") as site:
        site.rows("stock_levels", asyncio.run(_fill(site.nats, 300, seed=9)))
    shutil.rmtree(tmp_path / "var" / "nats")

    ended = qudao("restore", kept / "copy", "--data", tmp_path / "var")

    assert ended.returncode == 1
    assert "are not in the copy. Move it away and start" in ended.stdout


def test_a_copy_is_put_back_only_where_no_log_is(kept: Path, tmp_path: Path) -> None:
    with up(tmp_path / "var"):
        pass

    ended = qudao("restore", kept / "copy", "--data", tmp_path / "var")

    assert ended.returncode == 2
    assert "there is a log already" in ended.stderr


def test_a_damaged_copy_is_refused_before_anything_is_put_back(kept: Path, tmp_path: Path) -> None:
    for name, damage, said in (
        ("cut", lambda b: b[: len(b) // 2], "it was cut"),
        ("flipped", lambda b: b[:999] + bytes([b[999] ^ 1]) + b[1000:], "it is damaged"),
    ):
        copy = tmp_path / name
        shutil.copytree(kept / "copy", copy)
        content = copy / "stream.snapshot"
        content.write_bytes(damage(content.read_bytes()))

        ended = qudao("restore", copy, "--data", tmp_path / "var")

        assert ended.returncode == 2
        assert said in ended.stderr
    assert not (tmp_path / "var").exists()
    assert "is no copy of a log" in qudao("restore", tmp_path, "--data", tmp_path / "var").stderr


def test_a_copy_is_whole_or_not_there(kept: Path, tmp_path: Path) -> None:
    with up(tmp_path / "var") as site:
        again = qudao("backup", kept / "copy", "--nats", site.nats)
        nowhere = qudao("backup", Path("/proc/copy"), "--nats", site.nats)

    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert nowhere.returncode == 2
    assert len(nowhere.stderr.splitlines()) == 1
