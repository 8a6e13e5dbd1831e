"""Bad days: a bit flips in the log, and a tired operator follows docs/drills.md."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct

from cli.simulation import events
from cli.simulation.publishing import publish
from infra.append import Appender
from infra.jetstream import connect
from tests.lab.qudao import Site, answer, eventually, qudao, up

pytestmark = pytest.mark.integration

ASKED = (
    "/orders?sum=net&by=status",
    "/stock_levels?sum=on_hand&by=location&limit=1000",
    "/dealer_sales?sum=ordered_net&by=dealer",
    "/events?sum=of&by=status,type",
)


class Kept(Struct):
    """A data folder, a copy of its log, and more events since; what was answered. No process runs any more."""

    data: Path
    copy: Path
    answers: list[Any]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("kept")
    with up(folder / "var") as site:
        site.rows("stock_levels", asyncio.run(fill(site.nats, 500, 7)))
        ended = qudao("backup", folder / "copy", "--nats", site.nats)
        assert ended.returncode == 0, ended.stderr
        site.rows("stock_levels", asyncio.run(fill(site.nats, 200, 8)))
        return Kept(folder / "var", folder / "copy", answers(site))


@pytest.fixture
def data(kept: Kept, tmp_path: Path) -> Path:
    shutil.copytree(kept.data, tmp_path / "var")
    return tmp_path / "var"


async def fill(url: str, count: int, seed: int) -> int:
    client = await connect(url, "test")
    try:
        return (await publish(Appender(client), events(seed, events=count))).last_sequence
    finally:
        await client.close()


def flip(data: Path, *shares: float) -> None:
    """Flip bits of the log, so far into its one block."""
    [block] = data.rglob("msgs/1.blk")
    content = bytearray(block.read_bytes())
    for share in shares:
        content[int(len(content) * share)] ^= 1
    block.write_bytes(bytes(content))


def lost_of(data: Path) -> list[dict[str, int]]:
    ended = qudao("repair", "--data", data, "--json")
    assert ended.returncode == 1, ended.stderr
    found: list[dict[str, int]] = answer(ended)["lost"]
    return found


def answers(site: Site) -> list[Any]:
    return [site.get(path)[1] for path in ASKED]


def stopped(data: Path) -> str:
    """What /health says when the projector stops for good."""
    with up(data) as site:
        said: list[str] = []

        def red() -> bool:
            said[:] = site.get("/health")[1]["faults"]
            return bool(said)

        assert eventually(red, 20)
        return " ".join(said)


def test_flipped_bits_within_the_copy_are_repaired_and_nothing_tells_the_difference(
    data: Path, kept: Kept
) -> None:
    flip(data, 0.0005, 0.4)
    lost = lost_of(data)

    repaired = qudao("repair", "--data", data, "--from", kept.copy, "--json")

    assert len(lost) == 2
    assert repaired.returncode == 0, repaired.stderr
    assert answer(repaired)["back"] == sum(gap["last"] - gap["first"] + 1 for gap in lost)
    assert Path(answer(repaired)["kept"]).is_dir()
    assert qudao("repair", "--data", data).stdout.startswith("whole: ")
    with up(data) as site:
        verified = qudao("verify", "--data", data, "--nats", site.nats)
        assert verified.returncode == 0, verified.stdout
        assert answers(site) == kept.answers


def test_what_the_copy_does_not_have_cannot_be_repaired_and_nothing_is_changed(
    data: Path, kept: Kept
) -> None:
    flip(data, 0.97)
    [block] = data.rglob("msgs/1.blk")
    content = block.read_bytes()

    ended = qudao("repair", "--data", data, "--from", kept.copy)

    assert ended.returncode == 2
    assert "would still be missing" in ended.stderr
    assert block.read_bytes() == content
    assert sorted(path.name for path in data.iterdir() if path.is_dir()) == ["nats"]


def test_a_copy_of_another_log_is_refused(data: Path, tmp_path: Path, kept: Kept) -> None:
    other = tmp_path / "other"
    shutil.copytree(kept.copy, other)
    manifest = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(re.sub(r'"store_id": "\w+"', '"store_id": "of-another"', manifest))

    ended = qudao("repair", "--data", data, "--from", other)

    assert ended.returncode == 2
    assert "another log" in ended.stderr


def test_a_gap_that_is_accepted_is_passed_and_every_later_answer_says_so(data: Path) -> None:
    flip(data, *[0.5 + number * 0.0003 for number in range(8)])  # messages that follow each other
    for path in data.glob("qudao.db*"):
        path.unlink()
    [gap] = lost_of(data)
    first, last = gap["first"], gap["last"]
    assert last > first
    assert str(first) in stopped(data)

    with up(data) as site:
        part, sound, whole = [
            qudao(
                "accept-gap",
                str(one),
                str(other),
                "--reason",
                "a bad disk",
                "--by",
                "u-ops",
                "--nats",
                site.nats,
            )
            for one, other in ((first, last - 1), (first - 1, last), (first, last))
        ]

    assert (part.returncode, sound.returncode) == (2, 2)
    assert "accept the whole" in part.stderr
    assert "only what is lost" in sound.stderr
    assert whole.returncode == 0, whole.stderr
    with up(data) as site:
        health = site.get("/health")[1]
        assert health["healthy"], health["faults"]
        assert any("decided to go on without" in warning for warning in health["warnings"])
        later, early = [
            httpx.get(f"{site.url}/orders?limit=1{asked}") for asked in ("", f"&known_at={first - 1}")
        ]
        assert later.headers["qudao-incomplete"] == f"{first}-{last}"
        assert "qudao-incomplete" not in early.headers
        [decided] = site.get("/events?type=log.gap_accepted.v1")[1]["items"]
        assert site.get(f"/events/{decided['sequence']}")[1]["event"]["data"]["reason"] == "a bad disk"
        for proof in ("verify", "check"):
            ended = qudao(proof, "--data", data, "--nats", site.nats)
            assert ended.returncode == 0, (proof, ended.stdout, ended.stderr)


def test_a_database_that_folded_what_is_lost_goes_on_and_verify_says_what_to_do(data: Path) -> None:
    flip(data, 0.5)
    [lost] = lost_of(data)
    gap = lost["first"]
    with up(data) as site:
        accepted = qudao("accept-gap", str(gap), str(gap), "--reason", "a bad disk", "--nats", site.nats)
        assert accepted.returncode == 0, accepted.stderr

        verified = qudao("verify", "--data", data, "--nats", site.nats)

        assert site.get("/health")[1]["healthy"]
    assert verified.returncode == 1
    assert f"folded what is lost since ({gap})" in verified.stdout


def test_a_lost_last_message_is_no_silence_without_end(data: Path) -> None:
    flip(data, 0.9999)
    for path in data.glob("qudao.db*"):
        path.unlink()

    said = stopped(data)

    assert "has no message" in said
