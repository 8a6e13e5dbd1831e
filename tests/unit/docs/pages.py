"""The pages people read, cut into what tests can check."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")), *DECISIONS]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def read(name: str) -> str:
    """A page by its path under the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [found[2] for found in _BLOCK.finditer(text) if found[1] == language]


def code(text: str) -> list[str]:
    """What stands between single backticks, outside fenced blocks."""
    return _CODE.findall(_BLOCK.sub("", text))


def commands(text: str) -> list[str]:
    """Everything on a page that is code: inline, and each line of a block."""
    lines = [line for found in _BLOCK.finditer(text) for line in found[2].splitlines()]
    return [*code(text), *lines]


def links(text: str) -> list[str]:
    """The targets of all links."""
    return _LINK.findall(text)


def anchors(text: str) -> set[str]:
    """The names headings can be linked by."""
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in _HEADING.findall(_BLOCK.sub("", text))
    }


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table after a heading, without its head; backticks are taken off single words."""
    _, _, rest = text.partition(f"\n## {heading}\n")
    found: list[list[str]] = []
    for line in rest.splitlines():
        if line.startswith("|"):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
        elif found:
            break
    return found[2:]
