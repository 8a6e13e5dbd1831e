"""docs/views.md, made from the projections: `python tests/unit/docs/views_page.py` writes it."""

from __future__ import annotations

from pathlib import Path

from api.views import View, views_of
from infra.documents import ROWS
from infra.positions import INDEX
from projections.registry import PROJECTIONS

PAGE = Path(__file__).parents[3] / "docs" / "views.md"
HEAD = """\
# Views

<!-- Made from the projections by tests/unit/docs/views_page.py; a test compares. Do not edit by hand. -->

What can be asked, and what one row is. Every field, with its meaning and type: `/docs` of a running service.
How to ask: [asking.md](asking.md).

- **Key**: the parts of a row's address, in order.
- **Range**: the field that `from`, `to` and `compare` speak of.
- **Under**: whether `under=` a territory can be asked.
- **Past**: whether it can be asked for another time, by `valid_at=` and `known_at=`, and explained.
"""
COLUMNS = ("View", "One row is", "Key", "Range", "Under", "Past")


def page() -> str:
    """The whole page."""
    views = views_of(PROJECTIONS, {INDEX: ROWS}).values()
    rows = [COLUMNS, ("---",) * len(COLUMNS), *[_cells(view) for view in views]]
    return "\n".join([HEAD, *["| " + " | ".join(row) + " |" for row in rows], ""])


def _cells(view: View) -> tuple[str, ...]:
    about = view.about.split("\n\n")[0]
    return (
        f"`{view.name}`",
        " ".join(about.split()),
        ", ".join(f"`{name}`" for name in view.key),
        f"`{view.period}`" if view.period else "",
        "yes" if view.tree else "",
        "yes" if view.explained else "",
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
