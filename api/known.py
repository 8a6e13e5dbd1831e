"""Policies that a question names: each must be one that the book or the program has known."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from api.moment import Moment
from api.problems import Problem
from api.query import Query
from api.stage0 import EVENTS
from api.views import Reader, View
from domain.catalogue import BY_PAYLOAD
from domain.plans import PolicyPublished
from domain.policies import ASSESSMENT, BUILT_IN, OTIF
from projections.policies import PolicyVersion

POLICY, PUBLISHED = "policy", BY_PAYLOAD[PolicyPublished].name
#: Views whose policies are of one kind; in all others they may be of any.
KINDS = {
    **dict.fromkeys(("assessments", "published_assessments"), ASSESSMENT),
    **dict.fromkeys(("otif", "otif_lines", "otif_orders", "otif_policies"), OTIF),
}


def refuse_unknown_policies(reader: Reader, view: View, query: Query) -> None:
    """Raise a bad_parameter problem where a view is asked by a policy that there never was."""
    names = [str(name) for name in query.filters.get(POLICY, ())]
    if names and (wrong := unknown(reader, KINDS.get(view.name, ""), names)):
        said = "; ".join(wrong.values())
        raise Problem("bad_parameter", f"wrong in this query of {view.name}: {said}", [(POLICY, said)])


def unknown(reader: Reader, kind: str, names: Sequence[str]) -> dict[str, str]:
    """Those among these policies that there never were, and what to say of each; of any kind where none is said.

    One that was withdrawn was known before, and decisions may name it.
    """
    versions = [(policy.policy, policy.kind) for policy in BUILT_IN]
    versions += [(row.policy, row.kind) for row in Moment(reader.connection, (POLICY,)).select(PolicyVersion)]
    there = list(dict.fromkeys(name for name, its in versions if kind in ("", its)))
    asked = [name for name in names if name not in there]
    where = (EVENTS.c.type == PUBLISHED, EVENTS.c.status == "accepted", EVENTS.c.document.in_(asked))
    ever = reader.connection.execute(sa.select(EVENTS.c.document).where(*where)).scalars() if asked else ()
    gone = set(ever) - {name for name, _ in versions}
    what = f"{kind} policy" if kind else "policy"
    return {
        name: f"there is no {what} {name!r}; there are: {', '.join(there)}"
        for name in asked
        if name not in gone
    }
