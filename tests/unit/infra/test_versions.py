"""A version tells what code does, whatever is said about it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra import versions

PLAIN = """
def fold(kind):
    return 1 if kind in {"order", "delivery", "return"} else 2
"""
TOLD = '''
"""A module."""

def fold(
    kind,
):
    """Says what it does."""
    # Two ways.
    return 1 if kind in {"order", "delivery", "return"} else 2
'''
RUN = "from infra.versions import version; from projections.stock import STOCK; print(version(STOCK))"


def test_comments_docstrings_and_layout_change_nothing_and_code_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def code(name: str, source: str) -> bytes:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        return versions._code(name)

    plain = code("plain_fold", PLAIN)

    assert code("told_fold", TOLD) == plain
    assert code("other_fold", PLAIN.replace("else 2", "else 3")) != plain
    assert code("further_fold", PLAIN.replace('"return"', '"returns"')) != plain
    assert code("strict_fold", PLAIN.replace("    return", "    assert kind\n    return")) != plain


def test_every_process_finds_the_same_version() -> None:
    found = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        found.add(
            subprocess.run(
                [sys.executable, "-c", RUN], env=environment, capture_output=True, check=True
            ).stdout
        )

    assert len(found) == 1
