"""The example of every event type that is shipped with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

import domain
from domain.catalogue import EventType
from domain.event_types import CATALOGUE
from domain.identifiers import escape

FOLDER = Path(next(iter(domain.__path__))) / "examples"
NAMES = sorted(CATALOGUE.types)


def golden(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


def changed(name: str, /, **data: Any) -> dict[str, Any]:
    """The example of a type as JSON, with these members of `data` set, or taken away where None."""
    raw: dict[str, Any] = msgspec.json.decode(golden(name))
    for member, value in data.items():
        raw["data"][member] = value
        if value is None:
            del raw["data"][member]
    return raw


def subject_of(entry: EventType, raw: dict[str, Any], family: str = "") -> str:
    dealer = raw["data"].get("dealer") if entry.has_dealer else None
    return f"channel.{family or entry.families[0]}.{escape(dealer) if dealer else '_'}"
