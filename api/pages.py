"""Tables and descriptions as plain HTML that needs nothing from anywhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from msgspec import Raw

from api.fields import Field, Shown

TEXT_MAX = 200
STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.45 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", sans-serif; margin: 2rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top }
thead th { border-bottom: 2px solid #888a }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.about { max-width: 60rem; white-space: pre-line }
pre { overflow-x: auto; background: #8881; padding: .7rem }
code { background: #8881; padding: 0 .2rem }
.wide { overflow-x: auto }
@media (max-width: 40rem) { body { margin: .8rem; font-size: 14px } th, td { padding: .3rem .4rem } }
h2 { margin-top: 2.5rem; border-top: 1px solid #8884; padding-top: 1rem }
"""
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"}


def page(title: str, body: str) -> bytes:
    """One whole page; `body` is HTML already."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)} · Qudao</title><style>{STYLE}</style>"
    way = '<p><a href="/">渠道 Qudao</a></p>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{way}{body}</body></html>'.encode()


def table(
    fields: Sequence[Field],
    rows: Sequence[Mapping[str, Shown]],
    addresses: Sequence[str] = (),
    linked: Sequence[str] = (),
    why: str = "",
) -> str:
    """Rows as a table, numbers to the right; the fields of `linked` lead to each row's address.

    With `why`, every other number leads to that below its row's address.
    """
    head = "".join(f"<th{_side(field)}>{escape(field.name)}</th>" for field in fields)
    body = []
    for number, row in enumerate(rows):
        cells = []
        for field in fields:
            said = shown(row[field.name])
            if addresses and field.name in linked:
                said = f'<a href="{escape(addresses[number])}">{said or "–"}</a>'
            elif why and field.numeric and said:
                said = f'<a href="{escape(f"{addresses[number]}{why}#{field.name}")}">{said}</a>'
            cells.append(f"<td{_side(field)}>{said}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    found = "".join(body)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{found}</tbody></table></div>'


def record(fields: Sequence[Field], row: Mapping[str, Shown], why: str = "") -> str:
    """One row, a line for each field, nothing shortened; with `why`, every number leads there."""
    lines = []
    for field in fields:
        said = shown(row[field.name], 0)
        if why and field.numeric and said:
            said = f'<a href="{escape(f"{why}#{field.name}")}">{said}</a>'
        lines.append(f"<tr><th>{escape(field.name)}</th><td{_side(field)}>{said}</td></tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def shown(value: Shown, length_max: int = TEXT_MAX) -> str:
    """A value as escaped text, shortened where it is long."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    said = bytes(value).decode() if isinstance(value, Raw) else str(value)
    if length_max and len(said) > length_max:
        said = said[:length_max] + "…"
    return escape(said)


def _side(field: Field) -> str:
    return ' class="number"' if field.numeric else ""
