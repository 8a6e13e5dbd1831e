"""Tables and descriptions as plain HTML that needs nothing from anywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from api.differences import is_number, items_of, said_of
from api.fields import Field, Shown

TEXT_MAX = 200
#: Fields that are a sequence of the log: they lead to what was recorded there.
SEQUENCES = ("sequence", "of", "cutoff_sequence", "state_sequence")
#: What a page says of a database that `qudao replay --policy` made.
TRIED = (
    "<p><strong>A policy was put in here that is in no event: this is a trial, and not the book.</strong></p>"
)
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
form { margin: .3rem 0 }
@media (max-width: 40rem) { body { margin: .8rem; font-size: 14px } th, td { padding: .3rem .4rem } }
h2 { margin-top: 2.5rem; border-top: 1px solid #8884; padding-top: 1rem }
"""
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"}


class Form(Struct, frozen=True):
    """One question that a page offers: what is asked, where, by which parameter, and what goes along with it."""

    label: str
    address: str
    name: str
    example: str
    along: Sequence[tuple[str, str]]


def page(title: str, body: str, *, home: bool = True) -> bytes:
    """One whole page; `body` is HTML already. A file that is kept has no `home`."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)} · Qudao</title><style>{STYLE}</style>"
    way = '<p><a href="/">渠道 Qudao</a></p>' if home else ""
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{way}{body}</body></html>'.encode()


def ways(links: Iterable[tuple[str, str]], forms: Iterable[Form]) -> str:
    """What else can be asked: links, and questions with one thing left to say."""
    said = " · ".join(linked(escape(text), address) for text, address in links)
    return (f"<p>{said}</p>" if said else "") + "".join(
        f'<form action="{escape(form.address)}"><label>{escape(form.label)} '
        f'<input name="{form.name}" required placeholder="{escape(form.example)}" size="26"></label> '
        + "".join(
            f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in form.along
        )
        + "<button>ask</button></form>"
        for form in forms
    )


def table(
    fields: Sequence[Field],
    rows: Sequence[Mapping[str, Shown]],
    leads: Sequence[Mapping[str, str]] = (),
    *,
    whole: bool = False,
) -> str:
    """Rows as a table, numbers to the right; `leads` say of each row which field leads where.

    Long values are cut, and lists are one line, if they are not to be `whole`.
    """
    head = "".join(f"<th{_side(field.numeric)}>{escape(field.name)}</th>" for field in fields)
    body = []
    for number, row in enumerate(rows):
        to = leads[number] if leads else {}
        cells = [cell(field, row[field.name], to.get(field.name, ""), whole=whole) for field in fields]
        body.append(f"<tr>{''.join(cells)}</tr>")
    return _wide(f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>")


def record(fields: Sequence[Field], row: Mapping[str, Shown], leads: Mapping[str, str] | None = None) -> str:
    """One row, a line for each field, nothing shortened.

    On its own page `leads` say which field leads where, and every line is a place that others lead to.
    """
    lines = []
    for field in fields:
        name = escape(field.name)
        place = "" if leads is None else f' id="{name}"'
        said = cell(field, row[field.name], (leads or {}).get(field.name, ""), whole=True)
        lines.append(f"<tr{place}><th>{name}</th>{said}</tr>")
    return _wide("".join(lines))


def cell(field: Field, value: Shown, lead: str = "", *, whole: bool) -> str:
    """One value. A list that is whole is a table, whose numbers lead to their part of where the list leads."""
    if isinstance(value, Raw):
        said = nested(field, value, lead) if whole else linked(shown(_brief(field, value)), lead)
    else:
        said = linked(shown(value, 0 if whole else TEXT_MAX), lead)
    return f"<td{_side(field.numeric)}>{said}</td>"


def facts(said: Iterable[tuple[str, str]]) -> str:
    """A line for each name and what is said of it, which is HTML already; nothing where nothing is."""
    lines = [f"<tr><th>{escape(name)}</th><td>{value}</td></tr>" for name, value in said if value]
    return _wide("".join(lines))


def linked(said: str, address: str) -> str:
    """Text that is HTML already, leading to an address if there is one."""
    return f'<a href="{escape(address)}">{said or "–"}</a>' if address else said


def shown(value: Any, length_max: int = TEXT_MAX) -> str:
    """A value as escaped text, shortened where it is long."""
    said = _plain(value)
    if length_max and len(said) > length_max:
        said = said[:length_max] + "…"
    return escape(said)


def _plain(value: Any) -> str:
    """A value as text: JSON but for texts, and nothing for null."""
    if value is None:
        return ""
    if isinstance(value, Raw):
        return bytes(value).decode()
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def nested(field: Field, said: Raw, lead: str) -> str:
    """A list of named items as a table, another list as a line, what has a shape of its own as it is."""
    items = items_of(field, said)
    if not items:
        found = msgspec.json.decode(said)
        if isinstance(found, list) and not any(isinstance(one, dict | list) for one in found):
            return ", ".join(shown(one, 0) for one in found)
        return f"<pre>{escape(msgspec.json.format(bytes(said), indent=2).decode())}</pre>" if found else ""
    names = list(dict.fromkeys(name for fields in items.values() for name in fields))
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *names))
    lines = []
    for item, fields in items.items():
        to = f"{lead}.{quote(item)}" if lead else ""
        cells = []
        for name in names:
            value = fields.get(name)
            lead_of = f"/events/{value}" if to and name in SEQUENCES else to if is_number(value) else ""
            cells.append(f"<td{_side(is_number(value))}>{linked(shown(said_of(value), 0), lead_of)}</td>")
        lines.append(f"<tr><th>{linked(escape(item), to)}</th>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _brief(field: Field, value: Raw) -> str:
    """A list of named items in one line: what each of them says."""
    if not (items := items_of(field, value)):
        found = msgspec.json.decode(value)
        flat = isinstance(found, list) and all(isinstance(one, str) for one in found)
        return ", ".join(found) if flat else bytes(value).decode() if found else ""
    said = []
    for item, fields in items.items():
        there = [
            f"{name} {_plain(said_of(one))}" for name, one in fields.items() if one not in (None, "", [])
        ]
        said.append(f"{item}: {', '.join(there)}" if there else item)
    return "; ".join(said)


def _wide(inner: str) -> str:
    return f'<div class="wide"><table>{inner}</table></div>'


def _side(numeric: bool) -> str:
    return ' class="number"' if numeric else ""
