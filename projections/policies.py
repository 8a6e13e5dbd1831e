"""The rules in force: what the company published, beside what is built in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from domain.calendar import business_day
from domain.flaws import Reason
from domain.plans import PolicyPublished
from domain.policies import BUILT_IN, Policy, unreadable
from projections.documents import Change
from projections.projection import Computed, Projection
from projections.rows import Key, Row, Rows, Tables, table, view


@table("policy_versions", key=("policy", "version"), home="shared")
class PolicyVersion(Row):
    """One published version of a policy."""

    policy: str
    version: str
    kind: str = ""
    effective: datetime | None = None
    day: date | None = None  # that it takes effect on, by its publisher's clock
    sequence: int = 0
    body: dict[str, Any] = {}


@view("policies", key=("policy", "version"))
class PolicyRow(Row):
    """One version of a policy, published or built in. `readable` false: it is left out, see `flaws`.

    What is `built_in` is part of the program: no event made it, its sequence is 0, and nothing explains it further.
    The version before it stays in force, at last the built-in one. Each flaw is a field of the body and what is wrong.
    """

    policy: str
    version: str
    kind: str = ""
    effective: datetime | None = None
    sequence: int = 0
    body: dict[str, Any] = {}
    built_in: bool = False
    readable: bool = True
    flaws: tuple[Reason, ...] = ()


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches: every version of the policy."""
    for document in (change.before, change.after):
        for event in document.each(PolicyPublished) if document is not None else ():
            yield PolicyVersion, (change.document.id, event.data.version)


def fold(change: Change, rows: Rows) -> None:
    """Put every version as it now stands."""
    events = change.after.each(PolicyPublished) if change.after is not None else []
    standing = {event.data.version: event for event in events}
    for _, key in keys(change):
        row = rows.edit(PolicyVersion, *key)
        event = standing.get(key[1])
        row.kind = event.data.kind if event is not None else ""
        row.effective = event.data.effective if event is not None else None
        row.day = business_day(event.data.effective) if event is not None else None
        row.sequence = event.sequence if event is not None else 0
        row.body = event.data.body if event is not None else {}


def published(tables: Tables) -> list[Policy]:
    """Every published version."""
    return [
        Policy(row.policy, row.kind, row.version, row.effective, row.body, row.sequence, row.day)
        for row in tables.select(PolicyVersion)
        if row.effective is not None and row.day is not None
    ]


def policies(tables: Tables, at: datetime, filters: Mapping[str, Sequence[Any]]) -> Iterator[PolicyRow]:
    """What was published and effective by an instant, and what is built in."""
    for found in (*[p for p in published(tables) if p.effective <= at], *BUILT_IN):
        row = PolicyRow(found.policy, found.version, found.kind, found.effective, found.sequence, found.body)
        row.built_in = not found.sequence
        row.flaws = tuple(unreadable(found.kind, found.body))
        row.readable = not row.flaws
        yield row


POLICIES = Projection(
    name="policies",
    rows=(PolicyVersion,),
    kinds=frozenset({"policy"}),
    keys=keys,
    fold=fold,
    modules=("projections.policies",),
    views=(PolicyRow,),
    computed=(Computed(PolicyRow, policies, always=True),),
)
