"""Tables for a terminal: aligned columns, with Chinese characters two places wide."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

#: What a terminal may take for a command.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def width(text: str) -> int:
    """How many places of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


def shortened(text: str, places: int) -> str:
    """The text within so many places, with an ellipsis where it is cut."""
    if len(text) > 4 * places:  # of what is far too long not every sign is looked at
        text = text[: 4 * places]
    elif width(text) <= places:
        return text
    while width(text) > places - 1:
        text = text[:-1]
    return text + "…"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """The lines of a table: a head, a rule and the rows; the columns named in `right` end together.

    Control characters are shown as what cannot be shown.
    """
    lines = [list(head), *[[_CONTROL.sub("\ufffd", text) for text in row] for row in rows]]
    places = [max(width(line[number]) for line in lines) for number in range(len(head))]
    shown = [
        "  ".join(_cell(text, places[n], n in right) for n, text in enumerate(line)).rstrip()
        for line in lines
    ]
    return [shown[0], "  ".join("─" * place for place in places), *shown[1:]]


def _cell(text: str, places: int, right: bool) -> str:
    blank = " " * (places - width(text))
    return blank + text if right else text + blank


def grouped(number: str | int) -> str:
    """A number as people read it: 1234567.50 → 1,234,567.50; the digits stay what they are."""
    whole, point, rest = str(number).partition(".")
    return f"{int(whole):,}{point}{rest}" if whole not in ("-0", "") else str(number)
