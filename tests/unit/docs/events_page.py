"""docs/events.md, made from the catalogue: `python tests/unit/docs/events_page.py` writes it."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from domain.catalogue import EventType
from domain.event_types import CATALOGUE, MODULES

PAGE = Path(__file__).parents[3] / "docs" / "events.md"
HEAD = """\
# Event types

<!-- Made from the catalogue by tests/unit/docs/events_page.py; a test compares. Do not edit by hand. -->

Every type with the families it may be published on, the document it speaks about, and when it is true.
Fields, limits and an example of each: `GET /schemas/<type>` of a running service.
How to publish: [publishing.md](publishing.md). Choices behind some of these:
[ADR 0008](decisions/0008-events-where-the-contract-was-silent.md).

- **Families**: the subject is `channel.<family>.<dealer>`; the first one named is taken over HTTP unless
  `?family=` names another. `decisions` is for commands of the service alone.
- **Document**: its kind, and the field of `data` that names it; `subject` of the envelope is the same id.
- **Slot**: statements of one type about one document restate each other, unless these fields differ.
- **Step**: each statement is true from its own time on. Elsewhere what is restated was wrong from the beginning: a
  restatement is as old as what it restates.
- **True**: the field that says when the fact is true; where it is absent, the envelope's `time`.
- **Dealer**: whether `data.dealer` must be given. A type without it goes to the dealer `_`.
"""
COLUMNS = ("Type", "What it says", "Families", "Document", "Slot", "Step", "True", "Dealer")


class _Asked:
    """Stands in for a payload and remembers which field was read."""

    def __init__(self) -> None:
        self.fields: list[str] = []

    def __getattr__(self, name: str) -> None:
        self.fields.append(name)


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *[line for module in MODULES for line in _section(module.__name__)]])


def _section(module: str) -> list[str]:
    entries = [entry for entry in CATALOGUE.types.values() if entry.payload.__module__ == module]
    title = module.rpartition(".")[2].capitalize()
    rows = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *[_line(_cells(entry)) for entry in entries]]
    return [f"## {title}", "", *rows, ""]


def _cells(entry: EventType) -> list[str]:
    asked = _Asked()
    entry.effective(asked)
    said = (entry.payload.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip()
    return [
        f"`{entry.name}`",
        said,
        ", ".join(entry.families) if len(entry.families) < 7 else "any",
        f"{entry.document} (`{_wire(entry, entry.document_field)}`)",
        ", ".join(f"`{_wire(entry, name)}`" for name in entry.slot),
        "yes" if entry.step else "",
        " ".join(f"`{_wire(entry, name)}`" for name in asked.fields) or "`time`",
        _dealer(entry),
    ]


def _dealer(entry: EventType) -> str:
    if not entry.has_dealer:
        return "–"
    [field] = [field for field in structs.fields(entry.payload) if field.name == "dealer"]
    return "yes" if field.required else "if known"


def _wire(entry: EventType, attribute: str) -> str:
    payload = entry.payload
    return payload.__struct_encode_fields__[payload.__struct_fields__.index(attribute)]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
