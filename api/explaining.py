"""Why a row says what it says: the events behind it, and what each of them changed in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

import msgspec
import sqlalchemy as sa
from litestar import Response
from litestar.datastructures import Headers
from msgspec import Struct

from api import pages
from api.answers import answer
from api.computing import rows_of, wanted
from api.differences import Difference, changes_of, numbers_of, told
from api.fields import Field, Stored, instant_text
from api.leading import row_address
from api.moment import Moment
from api.query import Query, parameters
from api.reading import Opened, reached
from api.selecting import conditions
from api.unfolding import Dependence, Unfolding
from api.views import View
from domain.catalogue import TYPES
from domain.envelope import Payload, Recorded
from infra.tables import codec_of
from projections.documents import document_key

#: Kinds of document that facts are held to, whenever they came.
YARDSTICKS = ("policy", "target")

Values = dict[str, Any]  # by field, as they are stored


class Effect(Struct, frozen=True):
    """One event, the document it is about, and what it changed in the row, by field."""

    sequence: int
    type: str
    recorded: datetime
    kind: str
    dealer: str
    document: str
    changes: dict[str, Difference]


Placed = tuple[int, Effect]  # which of the effects it is


class Explanation(Struct, frozen=True):
    """A row and the events that made it what it is, as the log has them; the differences of a number add up to it."""

    view: str
    key: dict[str, Any]
    sequence: int
    at: datetime
    row: dict[str, Any]
    effects: tuple[Effect, ...]


def explain(
    opened: Opened, view: View, key: Sequence[Stored], query: Query, now: datetime
) -> Explanation | None:
    """Fold what bears on a row again, event by event, policies and targets first; None where nothing makes it.

    In whatever order events are taken, the row at the end is the same, and the differences add up to it.
    """
    at = query.valid_at or now
    query = msgspec.structs.replace(query, filters={n: [v] for n, v in zip(view.key, key, strict=True)})
    effects: list[Effect] = []
    depends = Dependence(view, key, query)
    with opened.reader() as reader, opened.replaying.past(reader, view, query) as (past, events, there):
        told = sorted(events, key=_yardsticks_first)
        walk = Unfolding(past, told, depends, lambda: row_of(there.connection, view, query, at, depends))
        for event, change, before, row in walk.steps():
            if changes := changes_of(view.shown, before, row):
                about = document_key(event) if change is None else change.document.key
                effects.append(Effect(event.sequence, event.type, event.recorded, *about, changes))
        sequence = reached(view, query, there.positions) or 0
    if not walk.row:
        return None
    said = told_of(view.shown, walk.row)
    return Explanation(view.name, {name: said[name] for name in view.key}, sequence, at, said, tuple(effects))


def _yardsticks_first(event: Recorded[Payload]) -> tuple[bool, int]:
    """By what is measured stands before what is: a card that came later is opened up to the facts it counts."""
    return TYPES[event.type].document not in YARDSTICKS, event.sequence


def row_of(connection: sa.Connection, view: View, query: Query, at: datetime, depends: Dependence) -> Values:
    """The row as it stands there; nothing where there is none. `depends` learns what was looked at."""
    found: Sequence[Any] | None
    if (way := view.computed) is not None and depends.reckoned:
        codec, moment = codec_of(view.row), Moment(connection, view.key)
        rows = map(codec.write, way.answer(moment, at, wanted(codec, query.filters)))
        found = next((row for row in rows if row[: len(view.key)] == depends.key), None)
        depends.reads = moment.reads
    else:
        with rows_of(connection, view, query, at) as (connection, meant):
            columns = [meant.source.c[name] for name in view.fields]
            found = connection.execute(
                sa.select(*columns).where(*conditions(meant, query, at, connection.dialect.name)).limit(1)
            ).first()
    return {} if found is None else dict(zip(view.fields, found, strict=True))


def told_of(fields: Iterable[Field], row: Values) -> dict[str, Any]:
    """A row as it is answered."""
    return {field.name: told(field, row[field.name]) for field in fields}


def answer_why(
    view: View, found: Explanation, format: str, query: bytes, headers: Headers
) -> Response[bytes]:
    """An explanation, as JSON or as a page whose sequences lead to the events."""
    body = msgspec.json.encode(found) if format == "json" else _page(view, found, query)
    return answer(body, format, found.sequence, found.at, headers, {})


def _page(view: View, found: Explanation, query: bytes) -> bytes:
    title = " · ".join([view.name, *[str(value) for value in found.key.values()]])
    row = row_address(view, found.key, parameters(query))
    parts = [
        f"<h1>{pages.linked(escape(title), row)}</h1>"
        f"<p>as of sequence {found.sequence}, {instant_text(found.at)}</p>"
    ]
    effects = {effect.sequence: (place, effect) for place, effect in enumerate(found.effects)}
    if not effects:
        parts.append("<p>No event made it: it is part of the program.</p>")
    for field in view.shown:
        steps = {e.sequence: e.changes[field.name] for e in found.effects if field.name in e.changes}
        if field.name in view.key or not steps:
            continue
        name, value = escape(field.name), found.row[field.name]
        parts.append(f'<h2 id="{name}">{name}')
        if numbers_of(field) is None:
            parts.append(f": {pages.shown(value) or '–'}</h2>{_steps(effects, {'': steps})}")
        else:
            whole = pages.nested(field, value, f"#{field.name}") or "<p>–</p>"
            parts.append(f"</h2>{whole}{_items(field, steps, effects)}")
    return pages.page(title, "".join(parts))


def _items(field: Field, steps: Mapping[int, Difference], effects: Mapping[int, Placed]) -> str:
    """A list: each of its items by itself, with the events that moved any of its fields."""
    moved: dict[str, dict[str, dict[int, Difference]]] = {}  # item → field → sequence
    for sequence, change in steps.items():
        for item, fields in (change.parts or {}).items():
            for name, one in fields.items():
                moved.setdefault(item, {}).setdefault(name, {})[sequence] = one
    said = []
    for item, columns in moved.items():
        label = escape(f"{field.name}.{item}")
        # What an item is called and is for is said once, above; what moves stands here.
        moving = {n: c for n, c in columns.items() if len(c) > 1 or any(one.difference for one in c.values())}
        said.append(f'<h3 id="{label}">{label}</h3>{_steps(effects, moving or columns)}')
    return "".join(said)


def _steps(effects: Mapping[int, Placed], columns: Mapping[str, Mapping[int, Difference]]) -> str:
    """The events that moved any of some fields: what each was then, and of a number by how much."""
    numbers = {n: any(one.difference is not None for one in column.values()) for n, column in columns.items()}
    head = "".join(
        f"{_th(f'{name} difference')}{_th(f'{name} then')}"
        if numbers[name]
        else f"<th>{escape(name)} then</th>"
        for name in columns
    )
    lines = []
    moving = {sequence for column in columns.values() for sequence in column}
    for sequence in sorted(moving, key=lambda one: effects[one][0]):
        (_, effect), cells = (
            effects[sequence],
            {name: column.get(sequence) for name, column in columns.items()},
        )
        said = "".join(_then(one, numeric=numbers[name]) for name, one in cells.items())
        lines.append(
            f'<tr><td><a href="/events/{sequence}">{sequence}</a></td>'
            f"<td>{instant_text(effect.recorded)}</td><td>{escape(effect.type)}</td>"
            f"<td>{escape(f'{effect.kind} {effect.document}')}</td>{said}</tr>"
        )
    return (
        '<div class="wide"><table><thead><tr><th>event</th><th>recorded</th><th>what</th><th>document</th>'
        f"{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _th(said: str) -> str:
    return f'<th class="number">{escape(said)}</th>'


def _then(change: Difference | None, *, numeric: bool) -> str:
    if change is None:
        return "<td></td><td></td>" if numeric else "<td></td>"
    after = pages.shown(change.after) or "–"
    if not numeric:
        return f"<td>{after}</td>"
    return f'<td class="number">{pages.shown(change.difference)}</td><td class="number">{after}</td>'
