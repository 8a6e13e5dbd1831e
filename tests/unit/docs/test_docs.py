"""What the pages say is so: names, defaults, examples and links."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import events_page
import msgspec
import pytest
import views_page
from pages import DECISIONS, PAGES, ROOT, anchors, blocks, code, commands, links, read, rows

from api.intake import Status
from api.problems import PROBLEMS
from api.query import PARAMETERS
from bench.__main__ import arguments
from cli.main import COMMANDS, parser
from domain.chain import START, leaf, link
from domain.event_types import CATALOGUE
from domain.identifiers import escape
from infra.append import message_id
from infra.settings import Settings

SECTIONS = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
LINES_MAX = 60
#: Pages beyond this repository that may be linked to.
ELSEWHERE = {"keepachangelog.com", "127.0.0.1:8080"}
SHELL = {"make", "qudao", "curl", "cat", "sed", "mkdir", "."}


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def flags_of(command: str) -> tuple[set[str], set[str]]:
    """A command's own flags, and those that every command takes."""
    own = argparse.ArgumentParser(add_help=False)
    importlib.import_module(COMMANDS[command][0]).add_arguments(own)
    whole = parser(command)
    [subparsers] = [a for a in whole._actions if isinstance(a, argparse._SubParsersAction)]
    mine = {flag for action in own._actions for flag in action.option_strings}
    every = {flag for action in subparsers.choices[command]._actions for flag in action.option_strings}
    return mine, every


# settings and commands


def test_every_setting_is_documented_with_its_default() -> None:
    told = {row[0].strip("`"): row[1:4] for row in rows(read("docs/operating.md"), "Settings")}

    assert told == {
        name: [f"`--{name.replace('_', '-')}`", f"`QUDAO_{name.upper()}`", f"`{default}`" if default else ""]
        for name, default in zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True)
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_with_its_own_flags(command: str) -> None:
    told = {row[0].strip("`"): row[2] for row in rows(read("docs/operating.md"), "Commands")}

    assert set(told) == {f"qudao {name}" for name in COMMANDS}
    assert set(re.findall(r"--[a-z-]+", told[f"qudao {command}"])) == flags_of(command)[0]


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_commands_and_flags_on_a_page_exist(path: Path) -> None:
    every = set().union(*[flags_of(command)[1] for command in COMMANDS]) | {"--version"}
    measured = {flag for action in arguments()._actions for flag in action.option_strings}

    for text in commands(path.read_text(encoding="utf-8")):
        named = re.match(r"qudao ([a-z-]+)", text)
        assert named is None or named[1] in COMMANDS, text
        known = flags_of(named[1])[1] if named else every
        known = measured if text.startswith("python -m bench") else known
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= known, text


def test_a_start_for_the_readers_shell_uses_what_there_is() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))

    for block in blocks(read("README.md"), "sh"):
        body = re.sub(r"<<'(\w+)'\n.*?^\1$", "", block, flags=re.MULTILINE | re.DOTALL)
        for line in body.splitlines():
            first, *rest = shlex.split(line)
            assert first in SHELL
            assert first != "make" or rest[0] in targets
            assert first != "qudao" or rest[0] in COMMANDS


# the wire


def test_the_table_of_events_is_the_catalogue() -> None:
    written = events_page.PAGE.read_text(encoding="utf-8")

    assert written == events_page.page(), "run: python tests/unit/docs/events_page.py"


def test_every_problem_is_documented_with_its_status() -> None:
    told = {}
    for name in ("docs/publishing.md", "docs/asking.md"):
        for found, status in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", read(name), re.MULTILINE):
            told[found] = int(status)

    problems = {
        name: status for name, status in told.items() if name in PROBLEMS or name not in get_args(Status)
    }
    assert problems == {name: status for name, (status, _) in PROBLEMS.items()}


@pytest.mark.parametrize("name", ["docs/publishing.md", "README.md"])
def test_events_shown_as_examples_are_valid(name: str) -> None:
    text = read(name)
    shown = [block for block in blocks(text, "json") if '"specversion"' in block]
    shown += re.findall(r"<<'JSON'\n(\{.*?)^JSON$", text, re.MULTILINE | re.DOTALL)

    assert [CATALOGUE.decode(block.encode()).subject for block in shown]


def test_the_escapes_shown_are_those_of_the_log() -> None:
    told = re.findall(r"^\| `(\S+)` \| `(\S+)` \|$", read("docs/publishing.md"), re.MULTILINE)

    assert told == [(dealer, escape(dealer)) for dealer, _ in told]
    assert len(told) == 4


def test_the_message_id_shown_is_the_one_the_service_sends() -> None:
    [snippet] = [block for block in blocks(read("docs/publishing.md"), "python") if "message_id" in block]
    shown: dict[str, object] = {}
    exec(snippet, shown)

    assert shown["message_id"]("erp", "渠道/1", b"{}") == message_id("erp", "渠道/1", b"{}")  # type: ignore[operator]


def test_the_table_of_views_is_what_can_be_asked() -> None:
    written = views_page.PAGE.read_text(encoding="utf-8")

    assert written == views_page.page(), "run: python tests/unit/docs/views_page.py"


def test_every_parameter_is_documented() -> None:
    text = read("docs/asking.md")

    assert [name for name in PARAMETERS if f"`{name}=" not in text and f"`{name}`" not in text] == []


# what goes wrong


def test_what_health_is_said_to_say_it_says() -> None:
    """Quoted words of the tables stand in the code; a gap … may be anything."""
    text = read("docs/operating.md")
    folders = ("api", "infra", "cli")
    code = "\n".join(
        file.read_text(encoding="utf-8") for name in folders for file in (ROOT / name).glob("*.py")
    )
    said = [
        part.strip()
        for words in re.findall(r'^\| "([^"]+)"', text, re.MULTILINE)
        for part in words.split("…")
    ]

    assert len(said) > 10
    assert [words for words in said if words not in code] == []


def test_metrics_named_are_measured() -> None:
    measured = set(re.findall(r'"(qudao_[a-z_]+)"', read("api/metrics.py")))

    named = {
        name.removesuffix("_total") for name in re.findall(r"`(qudao_[a-z_]+)", read("docs/operating.md"))
    }
    assert named == measured


# pages


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in links(path.read_text(encoding="utf-8")):
        parts = urlsplit(target)
        if parts.scheme:
            assert parts.netloc in ELSEWHERE, target
            continue
        there = (path.parent / parts.path) if parts.path else path
        assert there.exists(), target
        assert not parts.fragment or parts.fragment in anchors(there.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_addresses_and_paths_are_no_machines_own(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert set(re.findall(r"https?://([\w.:-]+\w)", text)) - ELSEWHERE <= {"HOST:PORT"}
    assert re.findall(r"(?<![\w./])/(?:home|root|work|tmp|Users|opt|usr)/\w+", text) == []


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_files_named_on_a_page_exist(path: Path) -> None:
    top = "api|bench|cli|consumers|docs|domain|examples|infra|projections|tests"
    named = [
        text for text in code(path.read_text(encoding="utf-8")) if re.fullmatch(rf"(?:{top})/[\w./-]*", text)
    ]

    assert [name for name in named if not (ROOT / name).exists()] == []


# decisions


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]

    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", DECISIONS, ids=by_name)
def test_a_decision_is_short_and_has_every_section(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert text.startswith(f"# {path.name[:4]}. ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert len(text.splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", DECISIONS, ids=by_name)
def test_what_enforces_a_decision_exists(path: Path) -> None:
    _, _, enforced = path.read_text(encoding="utf-8").partition("## Enforced by")
    named = re.findall(r"`(tests/[\w/.]+\.py)`:\s+((?:`test_\w+`[,\s]*)+)", enforced)

    assert len(named) == enforced.count("`tests/")
    assert named or "import-linter" in enforced
    for file, tests in named:
        there = set(re.findall(r"def (test_\w+)", read(file)))
        assert set(re.findall(r"test_\w+", tests)) <= there, file


def test_the_worked_example_of_a_leaf_is_right() -> None:
    text = read("docs/decisions/0010-leaf-format.md")
    mine = leaf(1, 1767225600000000000, "channel.orders.D-7", b"{}")

    assert f"leaf(1)  = {mine.hex()}" in text
    assert f"chain(1) = {link(START, mine).hex()}" in text


def test_a_letter_moved_from_body_to_subject_makes_another_leaf() -> None:
    one = leaf(1, 1, "channel.orders.D1", b"2{}")
    other = leaf(1, 1, "channel.orders.D12", b"{}")

    assert one != other


def test_answers_shown_as_examples_are_json() -> None:
    for name in ("README.md", "docs/publishing.md", "docs/asking.md"):
        assert [msgspec.json.decode(block) for block in blocks(read(name), "json")]
