"""The tour of the README, run as it stands: by a shell, against everything started for real."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8080"
SECONDS = 60

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the tour uses curl"),
]


def tour() -> list[str]:
    """The shell blocks of the tour, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return shell(text.partition("\n## Ten minutes\n")[2].partition("\n## ")[0])


def shell(text: str) -> list[str]:
    """The shell blocks of a page."""
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def further() -> list[str]:
    """What two pages say can be run on the same book, without what goes on until it is stopped."""
    text = "".join(
        (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("asking", "auditing")
    )
    blocks = [re.sub(r"^qudao up .*\n", "", block, flags=re.MULTILINE) for block in shell(text)]
    inline = re.findall(r"`(/[^`\s]*D-7[^`\s]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [*blocks, *(f"curl -s '{ADDRESS}{path}'" for path in inline if "…" not in path)]


def environment(**settings: object) -> dict[str, str]:
    """This one without other settings, and with the commands of this environment found first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUDAO_")}
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return kept | {f"QUDAO_{name.upper()}": str(value) for name, value in settings.items()}


@pytest.fixture
def started(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What `qudao up` says of itself, on a scratch folder and free ports."""
    wanted = environment(data=tmp_path / "var", port=0, nats_port=0)
    with (tmp_path / "up.log").open("w") as log:
        up = subprocess.Popen(
            ["qudao", "up", "--json"], stdout=subprocess.PIPE, stderr=log, env=wanted, text=True
        )
        assert up.stdout is not None
        try:
            yield json.loads(up.stdout.readline() or "{}")
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(SECONDS)
            up.stdout.close()


def test_the_tour_of_the_readme_shows_what_it_says(tmp_path: Path, started: dict[str, Any]) -> None:
    port, nats_port = (started[name].rpartition(":")[2] for name in ("url", "nats"))
    wanted = environment(data=tmp_path / "var", port=port, nats_port=nats_port)

    def run(block: str) -> str:
        done = subprocess.run(
            ["sh", "-e", "-c", block.replace(ADDRESS, started["url"])],
            cwd=tmp_path,
            env=wanted,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, block + done.stderr
        return done.stdout

    first, several, asked, changed, imported, operated = map(run, tour())

    assert json.loads(first) == {
        "status": "accepted",
        "sequence": 1,
        "source": "erp",
        "id": "SO-1/1",
        "warnings": [],
        "problem": None,
    }
    *good, bad = json.loads(several)["items"]
    assert [entry["status"] for entry in good] == ["accepted"] * 3
    assert [error["field"] for error in bad["problem"]["errors"]] == [
        "data.currency",
        "data.lines[0].quantity",
    ]
    orders, levels, before, known, sums, *_ = (
        json.loads(line) for line in re.findall(r"\{\"items\".*?\"next\":null\}", asked)
    )
    [order] = orders["items"]
    assert [order[name] for name in ("quantity", "dispatched", "accepted")] == ["120", "100", "98"]
    assert [(level["location"], level["on_hand"], level["on_order"]) for level in levels["items"]] == [
        ("D-7", "90", "20"),
        ("WH-1", "-100", "0"),
    ]
    assert [level["on_hand"] for level in before["items"]] == ["98"]
    assert [level["on_hand"] for level in known["items"]] == ["98"]
    assert '"net":{"before":null,"after":"4800","difference":"4800"}' in asked
    assert sums["items"] == [
        {"dealer": "D-7", "currency": "CNY", "count": 1, "net": "4800", "quantity": "120"}
    ]
    assert "location,sku,lot,on_hand" in asked
    assert '"negative_stock"' in asked
    assert '"unknown_dealer"' in asked
    assert '"visible":true' in asked
    assert '"type":"/problems/conflict"' in changed
    assert changed.endswith('"content":[{"line":"1","sku":"COLA-330","quantity":"150","net":"6000"}]}')
    assert "1 events of old-erp: 1 appended" in imported
    assert "all is well" in operated
    assert "equal: " in operated
    assert "stock is rebuilt and serves" in operated

    # What the pages beyond it say can be asked of the same book can be.
    more = {block: run(block) for block in further()}
    assert len(more) > 10
    for block, answered in more.items():
        assert "/problems/" not in answered, block + answered
        assert '"items":[]' not in answered, block
    assert "order SO-1" in "".join(more.values())
