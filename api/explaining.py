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
from api.fields import Field, Stored, decimal_text, instant_text
from api.moment import Moment
from api.query import Query
from api.reading import Opened, reached
from api.selecting import conditions
from api.unfolding import Dependence, Unfolding
from api.views import View
from infra.tables import codec_of
from projections.documents import document_key

Values = dict[str, Any]  # by field, as they are stored


class Difference(Struct, frozen=True):
    """One field before and after an event. `difference` of numbers: what is null counts as nothing."""

    before: Any
    after: Any
    difference: str | int | None = None


class Effect(Struct, frozen=True):
    """One event, the document it is about, and what it changed in the row, by field."""

    sequence: int
    type: str
    recorded: datetime
    kind: str
    dealer: str
    document: str
    changes: dict[str, Difference]


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
    """Fold what bears on a row again, event by event; None where nothing makes such a row."""
    at = query.valid_at or now
    query = msgspec.structs.replace(query, filters={n: [v] for n, v in zip(view.key, key, strict=True)})
    effects: list[Effect] = []
    depends = Dependence(view, key, query)
    with opened.reader() as reader, opened.replaying.past(reader, view, query) as (past, events, there):
        walk = Unfolding(past, events, depends, lambda: row_of(there.connection, view, query, at, depends))
        for event, change, before, row in walk.steps():
            if changes := changes_of(view.shown, before, row):
                about = document_key(event) if change is None else change.document.key
                effects.append(Effect(event.sequence, event.type, event.recorded, *about, changes))
        sequence = reached(view, query, there.positions) or 0
    if not walk.row:
        return None
    told = told_of(view.shown, walk.row)
    return Explanation(view.name, {name: told[name] for name in view.key}, sequence, at, told, tuple(effects))


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
                sa.select(*columns).where(*conditions(meant, query, at)).limit(1)
            ).first()
    return {} if found is None else dict(zip(view.fields, found, strict=True))


def told_of(fields: Iterable[Field], row: Values) -> dict[str, Any]:
    """A row as it is answered."""
    return {field.name: _shown(field, row[field.name]) for field in fields}


def _shown(field: Field, stored: Any) -> Any:
    return None if stored is None else field.show(stored)


def changes_of(
    fields: Iterable[Field], before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, Difference]:
    """The fields that differ between two rows."""
    found = {}
    for field in fields:
        old, new = before.get(field.name), after.get(field.name)
        if old == new:
            continue
        difference: str | int | None = None
        if field.kind == "decimal":
            difference = decimal_text((new or 0) - (old or 0))
        elif field.kind == "integer":
            difference = (new or 0) - (old or 0)
        found[field.name] = Difference(_shown(field, old), _shown(field, new), difference)
    return found


def answer_why(view: View, found: Explanation, format: str, headers: Headers) -> Response[bytes]:
    """An explanation, as JSON or as a page whose sequences lead to the events."""
    body = msgspec.json.encode(found) if format == "json" else _page(view, found)
    return answer(body, format, found.sequence, found.at, headers, {})


def _page(view: View, found: Explanation) -> bytes:
    title = " · ".join([view.name, *[str(value) for value in found.key.values()]])
    parts = [f"<h1>{escape(title)}</h1><p>as of sequence {found.sequence}, {instant_text(found.at)}</p>"]
    for field in view.shown:
        steps = [
            (effect, effect.changes[field.name]) for effect in found.effects if field.name in effect.changes
        ]
        if field.name in view.key or not steps:
            continue
        said = pages.shown(found.row[field.name])
        lines = "".join(_line(field, effect, change) for effect, change in steps)
        parts.append(
            f'<h2 id="{escape(field.name)}">{escape(field.name)}: {said or "–"}</h2>'
            '<div class="wide"><table><thead><tr><th>event</th><th>recorded</th><th>what</th><th>document</th>'
            '<th class="number">difference</th><th class="number">then</th></tr></thead>'
            f"<tbody>{lines}</tbody></table></div>"
        )
    return pages.page(title, "".join(parts))


def _line(field: Field, effect: Effect, change: Difference) -> str:
    side = ' class="number"'
    difference = "" if change.difference is None else escape(str(change.difference))
    return (
        f'<tr><td><a href="/events/{effect.sequence}">{effect.sequence}</a></td>'
        f"<td>{instant_text(effect.recorded)}</td><td>{escape(effect.type)}</td>"
        f"<td>{escape(f'{effect.kind} {effect.document}')}</td>"
        f"<td{side}>{difference}</td><td{side if field.numeric else ''}>{pages.shown(change.after)}</td></tr>"
    )
