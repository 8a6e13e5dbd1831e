"""What a row was known to say at two moments, and the events recorded between them that moved it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Literal

import msgspec
from litestar import Response
from litestar.datastructures import Headers
from msgspec import Struct

from api import pages
from api.answers import answer
from api.corrections import corrections
from api.differences import Difference, changes_of, flat
from api.explaining import row_of, told_of
from api.fields import Stored, instant_text
from api.leading import row_address
from api.past import known_sequence, recorded_at
from api.problems import Problem
from api.query import Query, parameters, read_known
from api.reading import Opened
from api.unfolding import Dependence, Unfolding
from api.views import View
from domain.calendar import in_zone
from projections.documents import document_key

Known = int | datetime
Why = Literal["correction", "late", "new"]


class LaterEffect(Struct, frozen=True):
    """One event recorded between two moments, and what it changed in the row.

    `why` is `correction` where it restates, amends or withdraws what was known at the first moment, `late` where it
    happened before that moment, else `new`.
    """

    sequence: int
    type: str
    recorded: datetime
    effective: datetime
    time: datetime
    kind: str
    dealer: str
    document: str
    why: Why
    corrects: tuple[int, ...]
    changes: dict[str, Difference]


class Diff(Struct, frozen=True):
    """A row as it was known at two sequences of the log; the differences of the effects add up to `changes`.

    `before` and `after` are null where there was no such row.
    """

    view: str
    key: dict[str, Any]
    known: tuple[int, int]
    at: datetime
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    changes: dict[str, Difference]
    effects: tuple[LaterEffect, ...]


def two_moments(said: Sequence[tuple[str, str]]) -> tuple[Known, Known | None, list[tuple[str, str]]]:
    """The moments of a query, the second of which may be left out, and the rest of it."""
    wanted = [value for name, value in said if name == "known_at"]
    if not 1 <= len(wanted) <= 2:
        reason = "name known_at twice: the earlier moment and the later; once: up to now"
        raise Problem("bad_parameter", reason, [("known_at", reason)])
    try:
        first, *more = [read_known(value) for value in wanted]
    except ValueError as error:
        raise Problem("bad_parameter", f"known_at {error}", [("known_at", str(error))]) from None
    return first, more[0] if more else None, [pair for pair in said if pair[0] != "known_at"]


def diff(
    opened: Opened, view: View, key: Sequence[Stored], query: Query, since: Known, now: datetime
) -> Diff | None:
    """Fold what bears on a row up to the query's `known_at`, and look at it from `since` on; None where no row is."""
    at = query.valid_at or now
    query = msgspec.structs.replace(query, filters={n: [v] for n, v in zip(view.key, key, strict=True)})
    depends = Dependence(view, key, query)
    with opened.reader() as reader, opened.replaying.past(reader, view, query) as (past, events, there):
        first, last = known_sequence(reader, since), known_sequence(reader, query.known_at)
        if first > last:
            reason = f"the moments are sequences {first} and {last}: name the earlier first"
            raise Problem("bad_parameter", reason, [("known_at", reason)])
        moment = since if isinstance(since, datetime) else recorded_at(reader, first)
        walk = Unfolding(
            past, events, depends, lambda: row_of(there.connection, view, query, at, depends), first
        )
        steps = [(event, old, new) for event, _, old, new in walk.steps() if old != new]
        linked = corrections(opened.replaying, reader, [event for event, _, _ in steps], last).corrects
    before, row = walk.first, walk.row
    if not before and not row:
        return None
    effects = []
    for event, old, new in steps:
        corrected = tuple(linked.get(event.sequence, ()))
        known = any(sequence <= first for sequence in corrected)
        why: Why = "correction" if known else "late" if event.effective <= moment else "new"
        effects.append(
            LaterEffect(
                *(
                    event.sequence,
                    event.type,
                    event.recorded,
                    in_zone(event.effective, UTC),
                    in_zone(event.time, UTC),
                ),
                *document_key(event),
                why,
                corrected,
                changes_of(view.shown, old, new),
            )
        )
    shown = [told_of(view.shown, values) if values else None for values in (before, row)]
    named = shown[1] or shown[0] or {}
    return Diff(
        view.name,
        {name: named[name] for name in view.key},
        (first, last),
        at,
        shown[0],
        shown[1],
        changes_of(view.shown, before, row),
        tuple(effects),
    )


def answer_diff(view: View, found: Diff, format: str, query: bytes, headers: Headers) -> Response[bytes]:
    """A comparison, as JSON or as a page."""
    body = msgspec.json.encode(found) if format == "json" else _page(view, found, query)
    return answer(body, format, found.known[1], found.at, headers, {})


def _page(view: View, found: Diff, query: bytes) -> bytes:
    title = " · ".join([view.name, *[str(value) for value in found.key.values()]])
    along = [pair for pair in parameters(query) if pair[0] != "known_at"]
    then, now = [
        pages.linked(
            str(known), row_address(view, found.key, [*along, ("known_at", str(known))]) if there else ""
        )
        for known, there in zip(found.known, (found.before, found.after), strict=True)
    ]
    there = {True: "", False: " There was no such row."}
    parts = [
        f"<h1>{escape(title)}</h1><p>As known at sequence {then} and at {now}, speaking of "
        f"{instant_text(found.at)}.{there[found.before is not None]}{'' if found.after else ' It is gone.'}</p>"
    ]
    lines = "".join(
        f"<tr><th>{escape(name)}</th>{_cells(change)}</tr>" for name, change in _shown(view, found.changes)
    )
    parts.append(
        _table((f"known at {found.known[0]}", f"known at {found.known[1]}", "difference"), "field", lines)
    )
    parts.append("<h2>What moved it</h2>")
    lines = "".join(_lines(view, effect) for effect in found.effects)
    parts.append(_table(("recorded", "happened", "what", "document", "field", *_SIDES), "event", lines))
    return pages.page(title, "".join(parts))


_SIDES = ("before", "after", "difference")


def _table(head: Sequence[str], first: str, lines: str) -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in (first, *head))
    return f'<div class="wide"><table><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table></div>'


def _lines(view: View, effect: LaterEffect) -> str:
    about = (
        f'<td><a href="/events/{effect.sequence}">{effect.sequence}</a> {effect.why}</td>'
        f"<td>{instant_text(effect.recorded)}</td><td>{instant_text(effect.effective)}</td>"
        f"<td>{escape(effect.type)}</td><td>{escape(f'{effect.kind} {effect.document}')}</td>"
    )
    return "".join(
        f"<tr>{about}<td>{escape(name)}</td>{_cells(change)}</tr>"
        for name, change in _shown(view, effect.changes)
    )


def _shown(view: View, changes: Mapping[str, Difference]) -> Iterator[tuple[str, Difference]]:
    return flat({name: change for name, change in changes.items() if name not in view.key})


def _cells(change: Difference) -> str:
    said = (change.before, change.after, change.difference)
    return "".join(f'<td class="number">{pages.shown(value)}</td>' for value in said)
