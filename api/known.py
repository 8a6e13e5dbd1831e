"""Policies that a question names: each must be one that the book or the program knows, and that can be in force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

import sqlalchemy as sa

from api.moment import Moment
from api.problems import Problem
from api.query import Query
from api.stage0 import EVENTS
from api.views import Reader, View
from domain.catalogue import BY_PAYLOAD
from domain.plans import PolicyPublished
from domain.policies import ASSESSMENT, BUILT_IN, OTIF, unreadable
from projections.otif import OtifPolicy
from projections.policies import PolicyVersion

POLICY, PUBLISHED = "policy", BY_PAYLOAD[PolicyPublished].name
#: Views whose policies are of one kind; in all others they may be of any.
KINDS = {
    "assessments": ASSESSMENT,
    "published_assessments": ASSESSMENT,
    **dict.fromkeys(("otif", "otif_lines", "otif_orders", "otif_policies"), OTIF),
}
BUILT_IN_ALONE = "otif_orders"  # what is stored under no rule of the company's


def refuse_unknown_policies(reader: Reader, view: View, query: Query) -> None:
    """Raise a bad_parameter problem where a policy is named that there never was, or that can never be in force."""
    names = [str(name) for name in query.filters.get(POLICY, ())]
    kind = KINDS.get(view.name, "")
    wrong = unknown(reader, kind, names, own=view.name != BUILT_IN_ALONE)
    if wrong and not view.always_computed and view.name != BUILT_IN_ALONE:
        stored = _stored(reader, view, list(wrong))
        wrong = {name: reason for name, reason in wrong.items() if name not in stored}
    if kind and view.always_computed and query.known_at is None and not query.without:
        wrong |= _useless(reader, kind, [name for name in names if name not in wrong])
    if wrong:
        said = "; ".join(wrong.values())
        raise Problem("bad_parameter", f"wrong in this query of {view.name}: {said}", [(POLICY, said)])


def unknown(reader: Reader, kind: str, names: Sequence[str], *, own: bool = True) -> dict[str, str]:
    """Those among these policies that there never were, and what to say of each; of any kind where none is said.

    One that was withdrawn was known before, and decisions may name it.
    """
    built_in = [policy.policy for policy in BUILT_IN if kind in ("", policy.kind)]
    asked = [name for name in dict.fromkeys(names) if name not in built_in]
    if own and asked:
        standing = {policy for policy, _ in _versions(reader, kind, asked)}
        asked = [name for name in asked if name not in standing]
        gone = _withdrawn(reader, asked) if asked else set()
        asked = [name for name in asked if name not in gone]
    if not asked:
        return {}
    there = [*built_in, *(sorted({policy for policy, _ in _versions(reader, kind)}) if own else [])]
    what = f"{kind} policy" if kind else "policy"
    return {
        name: f"there is no {what} {name!r}; there are: {', '.join(dict.fromkeys(there))}" for name in asked
    }


def _withdrawn(reader: Reader, names: Sequence[str]) -> set[str]:
    """Those among these policies that were published, and no longer stand as any kind."""
    column = EVENTS.c
    where = (column.type == PUBLISHED, column.status == "accepted", column.document.in_(names))
    ever = reader.connection.execute(sa.select(column.document).where(*where).distinct()).scalars()
    return set(ever) - {policy for policy, _ in _versions(reader, "", names)}


def _stored(reader: Reader, view: View, names: Sequence[str]) -> set[str]:
    """Those among these policies that rows of a view name."""
    column = view.source.c[POLICY]
    return set(reader.connection.execute(sa.select(column).where(column.in_(names)).distinct()).scalars())


def _useless(reader: Reader, kind: str, names: Sequence[str]) -> dict[str, str]:
    """Those among these policies of which no version can be read, and what to say of each; built-in ones can."""
    built_in = {policy.policy for policy in BUILT_IN}
    asked = [name for name in names if name not in built_in]
    versions = list(_versions(reader, kind, asked)) if asked else []
    useless = {policy for policy, _ in versions} - {policy for policy, readable in versions if readable}
    return {
        name: f"no version of {name!r} can be read: /policies?policy={quote(name)} says why"
        for name in sorted(useless)
    }


def _versions(reader: Reader, kind: str, names: Sequence[str] | None = None) -> Iterator[tuple[str, bool]]:
    """Versions that stand, and whether they can be read, from what the views of a kind are as current as."""
    tables, wanted = Moment(reader.connection, (POLICY,)), {} if names is None else {POLICY: names}
    if kind == OTIF:
        yield from [(rule.policy, rule.readable) for rule in tables.select(OtifPolicy, **wanted)]
        return
    for row in tables.select(PolicyVersion, **wanted):
        if kind in ("", row.kind):
            yield row.policy, not unreadable(row.kind, row.body)
