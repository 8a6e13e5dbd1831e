"""A dealer's history as one file that needs nothing else: read in a browser, printed, or kept."""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime
from html import escape

import msgspec
from msgspec import Struct

from api import pages
from api.differences import flat
from api.fields import instant_text
from api.history import Changed, History, HistoryEntry
from api.reading import Page, shown
from api.views import View

_PRINT = """<style>
@media print {
  @page { size: A4 landscape; margin: 12mm }
  body { font-size: 8.5pt; margin: 0; color: #000; background: #fff }
  .wide { overflow: visible } thead { display: table-header-group } tr { break-inside: avoid }
  a { color: inherit; text-decoration: none } h2 { break-after: avoid }
}
.mark { font-weight: 600 }
.hash { font-family: ui-monospace, monospace; overflow-wrap: anywhere }
</style>"""
_HEAD = ("event", "happened", "recorded", "claimed", "what", "by", "corrections", "what it changed")


class Figures(Struct, frozen=True):
    """What a view says of the dealer at the moment asked."""

    view: View
    page: Page


def history_page(dealer: str, found: History, figures: Iterable[Figures], following: str = "") -> bytes:
    """The whole file: whose, of when and of which log; every message; the figures at the end.

    Of a page, `following` is where it goes on.
    """
    title = f"History of {dealer}"
    more = f" There is more: {pages.linked('next page →', following)}" if following else ""
    head = (
        f"{_PRINT}<h1>{escape(title)}</h1><table>"
        f"<tr><th>as known at</th><td>sequence {found.sequence}</td></tr>"
        f"<tr><th>speaking of</th><td>{instant_text(found.at)}</td></tr>"
        f"<tr><th>store</th><td>{escape(found.store_id)}</td></tr>"
        f'<tr><th>chain at {found.head_sequence}</th><td class="hash">{escape(found.head)}</td></tr>'
        f"</table><p>{len(found.items)} messages.{more}</p>"
    )
    names = "".join(f"<th>{name}</th>" for name in _HEAD)
    here = {entry.sequence for entry in found.items}
    lines = "".join(_line(entry, here) for entry in found.items)
    table = f'<div class="wide"><table><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table></div>'
    figures = list(figures)
    trial = "" if all(one.page.opens for one in figures) else pages.TRIED
    body = head + trial + table + "".join(_figures(one) for one in figures)
    return pages.page(title, body, home=False)


def _line(entry: HistoryEntry, here: Container[int]) -> str:
    marks = [] if entry.status == "accepted" else [entry.status.replace("_", " ")]
    marks += [f"of {_to(entry.of, here)}"] if marks and entry.of else []
    marks += (
        []
        if entry.concern == "own"
        else [{"scope": "general", "names": f"of {escape(entry.dealer)}"}[entry.concern]]
    )
    about = f'<div class="mark">{", ".join(marks)}</div>' if marks else ""
    about += "".join(f"<div>{escape(one.field)}: {escape(one.reason)}</div>" for one in entry.reasons)
    links = [f"corrects {_to(sequence, here)}" for sequence in entry.corrects]
    links += [f"corrected by {_to(sequence, here)}" for sequence in entry.corrected_by]
    files = "".join(
        f'<div>{pages.shown(file.get("name"))} <span class="hash">{pages.shown(file.get("sha256"))}</span></div>'
        for file in entry.attachments
    )
    cells = (
        _event(entry),
        *[_instant(moment) for moment in (entry.effective, entry.recorded)],
        _instant(entry.time)
        + (f"<div>recorded {told}</div>" if (told := _instant(entry.recordedtime)) else ""),
        f"{escape(entry.type)}<div>{escape(f'{entry.kind} {entry.document}')}</div>{about}{files}",
        f"{escape(entry.source)}#{escape(entry.id)}<div>{escape(entry.actor or '')}</div>",
        "<br>".join(links),
        "not reckoned" if entry.changed is None else "".join(_change(one) for one in entry.changed),
    )
    return f'<tr id="{entry.sequence}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _event(entry: HistoryEntry) -> str:
    """The sequence, which opens to the event as it was sent."""
    if entry.event is None:
        return str(entry.sequence)
    said = escape(msgspec.json.format(bytes(entry.event), indent=2).decode())
    return f"<details><summary>{entry.sequence}</summary><pre>{said}</pre></details>"


def _to(sequence: int, here: Container[int]) -> str:
    """A sequence, which leads to its line where that is on this page."""
    return f'<a href="#{sequence}">{sequence}</a>' if sequence in here else str(sequence)


def _instant(moment: datetime | None) -> str:
    return "" if moment is None else instant_text(moment)


def _change(changed: Changed) -> str:
    where = " ".join(
        [changed.view, *[str(value) for value in changed.key.values() if value not in ("", None)]]
    )
    fields = ", ".join(
        f"{escape(name)} {pages.shown(change.before) or '–'} → {pages.shown(change.after) or '–'}"
        for name, change in flat(changed.fields)
    )
    return f"<div><b>{escape(where)}</b>: {fields}</div>"


def _figures(one: Figures) -> str:
    rows = shown(one.page)
    title = one.view.name.replace("_", " ")
    said = f"<h2>{escape(title)}</h2><p>as of sequence {one.page.sequence}, {instant_text(one.page.at)}</p>"
    if not rows:
        return f"{said}<p>Nothing.</p>"
    if len(rows) == 1:
        return said + pages.record(one.page.fields, rows[0])
    more = "<p>There are more rows than are shown here.</p>" if one.page.next else ""
    return said + pages.table(one.page.fields, rows, whole=True) + more
