"""Sales targets as they were set and revised; what is reached of them is asked in `targets`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct

from domain.calendar import business_day
from domain.numbers import ZERO
from domain.plans import TargetRevised, TargetSet
from projections.documents import Change, Document
from projections.rows import Key, Row, Rows, table


class Phased(Struct, frozen=True, gc=False):
    """The share of a target that falls into [from_day, to_day)."""

    from_day: date
    to_day: date
    share: Decimal


@table(
    "target_plans",
    key=("target",),
    home="shared",
    indexes=(("dealer",), ("rep",), ("territory",), ("parent",)),
)
class TargetPlan(Row):
    """A target as last set or revised."""

    target: str
    parent: str = ""
    level: str = ""
    measure: str = ""
    flow: str = ""
    recognition: str = ""
    org: str = ""
    territory: str = ""
    dealer: str = ""
    outlet_class: str = ""
    rep: str = ""
    category: str = ""
    skus: tuple[str, ...] = ()
    from_day: date | None = None
    to_day: date | None = None
    offset_minutes: int = 0  # of the target's own clock, which says what day it is
    value: Decimal = ZERO
    currency: str = ""
    phasing: tuple[Phased, ...] = ()
    revisions: int = 0
    sequence: int = 0


@table("target_history", key=("target", "sequence"), home="shared")
class TargetHistory(Row):
    """What a target was set to, each time: revising it does not lose the old one."""

    target: str
    sequence: int
    type: str = ""
    stated: datetime | None = None
    value: Decimal = ZERO
    currency: str = ""
    from_day: date | None = None
    to_day: date | None = None


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches."""
    yield TargetPlan, (change.document.id,)


def fold(change: Change, rows: Rows) -> None:
    """Put the target as it now stands, and keep what each statement set."""
    name = change.document.id
    old, new = _statements(change.before), _statements(change.after)
    for sequence in {**old, **new}:
        if (sequence in old) != (sequence in new):
            event = new.get(sequence)
            rows.put(
                TargetHistory(name, sequence)
                if event is None
                else TargetHistory(
                    name,
                    sequence,
                    event.type,
                    event.time,
                    event.data.value,
                    event.data.currency or "",
                    business_day(event.data.from_),
                    business_day(event.data.to),
                )
            )
    row = rows.edit(TargetPlan, name)
    held = _plan(name, list(new.values()))
    for field in TargetPlan.__struct_fields__:
        setattr(row, field, getattr(held, field))


def _statements(document: Document | None) -> dict[int, Any]:
    if document is None:
        return {}
    return {s.sequence: s for s in document.statements if isinstance(s.data, TargetSet | TargetRevised)}


def _plan(name: str, statements: Sequence[Any]) -> TargetPlan:
    if not statements:
        return TargetPlan(name)
    data, scope = statements[-1].data, statements[-1].data.scope
    offset = data.from_.utcoffset() or timedelta()
    return TargetPlan(
        name,
        parent=data.parent or "",
        level=data.level or "",
        measure=data.measure,
        flow=data.flow,
        recognition=data.recognition or "",
        org=scope.org or "",
        territory=scope.territory or "",
        dealer=scope.dealer or "",
        outlet_class=scope.outlet_class or "",
        rep=scope.rep or "",
        category=scope.category or "",
        skus=scope.skus,
        from_day=business_day(data.from_),
        to_day=business_day(data.to),
        offset_minutes=offset // timedelta(minutes=1),
        value=data.value,
        currency=data.currency or "",
        phasing=tuple([Phased(business_day(p.from_), business_day(p.to), p.share) for p in data.phasing]),
        revisions=len(statements) - 1,
        sequence=statements[-1].sequence,
    )
