"""Dealers as master data has them, and where each stood over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from msgspec import Struct, field

from domain.calendar import business_day
from domain.dealers import (
    DealerAdmitted,
    DealerBanned,
    DealerDeclined,
    DealerExited,
    DealerGraded,
    DealerMerged,
    DealerRecord,
    DealerRegistered,
    DealerReinstated,
    DealerSuspended,
)
from domain.envelope import Payload, Recorded
from projections.assignments import DealerTerritories, hold
from projections.documents import Change, Document
from projections.holdings import Claim, put_difference
from projections.rows import Key, Row, Rows, table

S = TypeVar("S", bound=Payload)


@table(
    "dealer_states",
    key=("dealer",),
    indexes=(("status",), ("parent",), ("territory",), ("org",), ("legal_id",)),
)
class DealerState(Row):
    """A dealer as it stands: the last that was said of each of its fields, and its status."""

    dealer: str
    name: str = ""
    kind: str = ""
    status: str = ""  # registered, active, suspended, banned, exited, declined or merged
    grade: str = ""
    parent: str = ""
    level: str = ""
    segment: str = ""
    org: str = ""
    territory: str = ""  # as master data has it; what is assigned stands in territory_holdings
    legal_id: str = ""
    gln: str = ""
    country: str = ""
    region: str = ""
    city: str = ""
    timezone: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    predecessor: str = ""
    registered: datetime | None = None  # when it was first registered or admitted
    merged_into: str = ""


@table("dealer_spans", key=("dealer", "since"))
class DealerSpan(Row):
    """What a dealer's status was from one instant up to another; without `until` it is so still."""

    dealer: str
    since: datetime
    status: str = ""
    until: datetime | None = None


class Step(Struct, frozen=True, gc=False):
    """What was decided of a dealer, or merely known, at an instant."""

    at: datetime
    status: str
    into: str = ""  # whom it was merged into


@table("dealer_standings", key=("dealer",))
class DealerStanding(Row):
    """What a dealer's spans are made of: its own statements, and mergers that others' statements name."""

    dealer: str
    own: tuple[Step, ...] = ()
    mergers: tuple[Step, ...] = ()


def dealer_keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change of a dealer touches."""
    for dealer in {change.document.id, *_mergers(change.before), *_mergers(change.after)}:
        yield DealerState, (dealer,)
        yield DealerStanding, (dealer,)
    yield DealerTerritories, (change.document.id,)


def fold_dealer(change: Change, rows: Rows) -> None:
    """Put the dealer as it now stands, its status over time, and that of those it took over."""
    dealer, document = change.document.id, change.after
    _record(rows.edit(DealerState, dealer), document)
    hold(rows, dealer, recorded=_recorded_territories(document))
    old, new = _steps(change.before), _steps(document)
    if old != new:
        standing = rows.edit(DealerStanding, dealer)
        _stand(rows, standing, new, standing.mergers)
    before, after = _mergers(change.before), _mergers(document)
    for merged in sorted({*before, *after}):
        if before.get(merged) != after.get(merged):
            standing = rows.edit(DealerStanding, merged)
            others = [step for step in standing.mergers if step.into != dealer]
            mergers = sorted([*others, *after.get(merged, ())], key=lambda step: (step.at, step.into))
            _stand(rows, standing, standing.own, tuple(mergers))


def _record(row: DealerState, document: Document | None) -> None:
    """Set the fields that the dealer's own master data decides."""
    blank = DealerState(row.dealer, status=row.status, merged_into=row.merged_into)
    for name in DealerState.__struct_fields__:
        setattr(row, name, getattr(blank, name))
    if document is None:
        return
    for record in records(document, DealerRecord, (DealerRegistered, DealerAdmitted, DealerDeclined)):
        data = record.data
        for name in _COPIED:
            if given := getattr(data, name):
                setattr(row, name, given)
        if data.address is not None:
            row.country, row.region = data.address.country or "", data.address.region or ""
            row.city = data.address.city or ""
    opened = [document.opened(DealerRegistered), document.opened(DealerAdmitted)]
    row.registered = min([at for at in opened if at is not None], default=None)
    graded = document.one(DealerGraded)
    row.grade = graded.data.grade if graded is not None else ""


_COPIED = (
    *("name", "kind", "parent", "level", "segment", "org", "territory", "legal_id", "gln", "timezone", "ids"),
    "predecessor",
)


def records(document: Document, kind: type[S], whole: tuple[type[S], ...]) -> list[Recorded[S]]:
    """The statements of master data to be laid one over the other, in order of time.

    Of each type that restates it whole the last; of those that change what they give, all since the first of these
    types was last said: what a source extracts anew it extracts with its changes.
    """
    found: list[Recorded[S]] = []
    for statement in document.statements:
        data = statement.data
        if not isinstance(data, kind):
            continue
        if type(data) in whole:
            anew = type(data) is whole[0]
            found = [
                f for f in found if type(f.data) is not type(data) and (type(f.data) in whole or not anew)
            ]
        found.append(statement)  # type: ignore[arg-type]
    return found


def _recorded_territories(document: Document | None) -> tuple[Claim, ...]:
    """Every territory that master data gave, from the day on which it did."""
    return tuple(
        [
            Claim(s.data.territory, business_day(s.time), begun=s.time)
            for s in (document.statements if document is not None else ())
            if isinstance(s.data, DealerRecord) and s.data.territory
        ]
    )


_STATUS: dict[type[Payload], str] = {
    DealerRegistered: "registered",
    DealerAdmitted: "active",
    DealerDeclined: "declined",
    DealerSuspended: "suspended",
    DealerReinstated: "active",
    DealerBanned: "banned",
    DealerExited: "exited",
}
#: From which statuses a step does not lead on: to know a dealer is no decision, and a ban outlasts what is less.
_KEEPS = {
    "registered": ("registered", "active", "suspended", "banned", "exited", "merged"),
    "suspended": ("banned", "exited", "merged"),
    "exited": ("banned", "merged"),
    "merged": ("banned",),
}


@lru_cache(maxsize=1024)
def _steps(document: Document | None) -> tuple[Step, ...]:
    statements = document.statements if document is not None else ()
    steps = [
        Step(s.effective, _STATUS[type(s.data)])
        for s in sorted(statements, key=lambda s: (s.effective, s.time, s.sequence))
        if type(s.data) in _STATUS
    ]
    return tuple(steps)


@lru_cache(maxsize=1024)
def _mergers(document: Document | None) -> dict[str, tuple[Step, ...]]:
    """Whom the dealer took over, and when."""
    found: dict[str, tuple[Step, ...]] = {}
    for statement in document.statements if document is not None else ():
        data = statement.data
        if isinstance(data, DealerMerged) and data.merged != data.dealer:
            step = Step(statement.effective, "merged", data.dealer)
            found[data.merged] = (*found.get(data.merged, ()), step)
    return found


def _stand(rows: Rows, row: DealerStanding, own: tuple[Step, ...], mergers: tuple[Step, ...]) -> None:
    old = _spans(row)
    row.own, row.mergers = own, mergers
    new = _spans(row)
    put_difference(rows, old, new)
    state = rows.edit(DealerState, row.dealer)
    last = max(new.values(), key=lambda span: span.since, default=None)
    state.status = last.status if last is not None else ""
    state.merged_into = mergers[-1].into if state.status == "merged" else ""


def _spans(row: DealerStanding) -> dict[Key, DealerSpan]:
    spans: list[DealerSpan] = []
    for at, status in _led(sorted([*row.own, *row.mergers], key=lambda step: step.at)):
        if spans and spans[-1].since == at:
            spans.pop()
        elif spans:
            spans[-1].until = at
        if not spans or spans[-1].status != status:
            spans.append(DealerSpan(row.dealer, at, status))
        else:
            spans[-1].until = None
    return {(span.dealer, span.since): span for span in spans}


def _led(steps: Iterable[Step]) -> Iterator[tuple[datetime, str]]:
    """The instants at which the status became another."""
    status = ""
    for step in steps:
        if step.status != status and status not in _KEEPS.get(step.status, ()):
            status = step.status
            yield step.at, status
