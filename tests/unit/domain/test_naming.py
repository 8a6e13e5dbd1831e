"""What an event names is found in its Structs as it is found in its JSON."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.event_types import CATALOGUE
from domain.naming import NAMES, REPLACED, Named, names

EXAMPLES = sorted((Path(__file__).parents[3] / "domain" / "examples").glob("*.json"))


def said(value: Any) -> set[Named]:
    """The texts under these members of JSON, however deep."""
    if isinstance(value, list):
        return set[Named]().union(*map(said, value))
    if not isinstance(value, dict):
        return set()
    found = set[Named]().union(*[said(one) for name, one in value.items() if name != "x"])
    for name, one in value.items():
        if name in NAMES:
            texts = one if isinstance(one, list) else [one]
            found |= {(NAMES[name], text) for text in texts if isinstance(text, str)}
    return found


def is_instant(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_names_are_found_as_in_the_json(path: Path) -> None:
    body = path.read_bytes()
    event, read = CATALOGUE.parse(body), msgspec.json.decode(body)
    found = {(kind, text) for kind, text in said(read["data"]) if not is_instant(text)}
    found |= {(REPLACED, read["replaces"])} if "replaces" in read else set()
    found -= {("", "full"), ("", "listed")}  # the scope of a count

    assert names(event) == found


def test_a_text_too_long_for_an_id_names_nothing() -> None:
    """An index row of PostgreSQL has no room for it."""
    raw = msgspec.json.decode((EXAMPLES[0].parent / "policy.published.v1.json").read_bytes())
    raw["data"]["body"] = {"dealer": "x" * 128, "dealers": ["渠" * 43, "y"], "rep": "z" * 129}

    named = names(CATALOGUE.parse(msgspec.json.encode(raw)))

    assert {("", "x" * 128), ("", "y")} <= named
    assert not {text for _, text in named} & {"渠" * 43, "z" * 129}
