"""Laws of who held what: intervals are disjoint, and say of every day what the statements that stand say of it."""

from __future__ import annotations

import decimal
import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from domain.envelope import Payload, Recorded
from domain.event_types import CATALOGUE
from domain.numbers import EXACT
from projections.assignments import Exclusive, Holding, TerritoryAssignment, TerritoryClaims, TerritoryFlag
from projections.contracts import Contract
from projections.dealers import DealerSpan, DealerState
from projections.documents import Change, document, document_key
from projections.outlets import Outlet
from projections.parties import PARTIES, fold, keys
from projections.reps import RepAssignment, RepHolding
from projections.rows import MemoryRows
from projections.territories import Territory, subtree
from tests.lab.events import body, subject_of

LAW = settings(max_examples=30, derandomize=True, database=None, deadline=None)
BEGIN = datetime.fromisoformat("2026-01-01T00:00:00+08:00")
DAYS = [BEGIN.date() + timedelta(days=number) for number in range(-2, 16)]
BY_ARRIVAL = {"since", "cleared", "sequence"}  # of flags alone


class Said(Struct, frozen=True):
    """One statement of a history: type, time in hours, and data."""

    type: str
    hour: int
    data: dict[str, Any]

    @property
    def time(self) -> datetime:
        return BEGIN + timedelta(hours=self.hour)

    def event(self) -> bytes:
        return body(self.type, id=f"e{self.hour}", time=self.time, **self.data)


def folded(history: Sequence[Said], withdrawn: Sequence[Said] = ()) -> MemoryRows:
    """The rows after the statements in this order, and then without those withdrawn."""
    rows = MemoryRows()
    held: dict[tuple[str, str, str], list[Recorded[Payload]]] = {}
    steps = [(said, True) for said in history] + [(said, False) for said in withdrawn]
    with decimal.localcontext(EXACT):
        for number, (said, stands) in enumerate(steps, 1):
            event = said.event()
            recorded = CATALOGUE.read(number, number * 10**9, subject_of(event), event)
            key = document_key(recorded)
            before = document(key, held.get(key, []))
            others = [s for s in held.get(key, []) if s.event.id != recorded.event.id]
            held[key] = [*others, recorded] if stands else others
            change = Change(recorded, key[0], before, document(key, held[key]))
            assert all(row in PARTIES.rows for row, _ in keys(change))
            fold(change, rows)
    return rows


def figures(rows: MemoryRows) -> dict[str, list[dict[str, Any]]]:
    """All rows, but for when something became known."""
    return {
        kind.__name__: [
            {
                name: value
                for name, value in msgspec.structs.asdict(row).items()
                if not (kind is TerritoryFlag and name in BY_ARRIVAL)
            }
            for row in rows.all(kind)
            if not (isinstance(row, TerritoryFlag) and row.cleared)
        ]
        for kind in PARTIES.rows
    }


dealers = st.sampled_from(("D1", "D2"))
territories = st.sampled_from(("N", "S", "W"))


@st.composite
def instants(draw: st.DrawFn, least: int = 0) -> datetime:
    return BEGIN + timedelta(days=draw(st.integers(least, 12)), hours=draw(st.sampled_from((0, 0, 0, 9))))


HOLDING = ("assigned", "assigned", "assigned", "revoked", "registered", "admitted", "amended")
STANDING = ("registered", "admitted", "suspended", "reinstated", "banned", "exited", "merged", "graded")
CONTRACT = ("signed", "changed", "changed", "ended")
ALL = (*HOLDING, *STANDING, *CONTRACT, "rep", "rep", "rep", "opened", "outlet", "closed")


@st.composite
def statements(draw: st.DrawFn, hour: int, kinds: Sequence[str]) -> Said:
    """One statement about few dealers, territories and representatives, so that they cross often."""
    what = draw(st.sampled_from(kinds))
    dealer, from_ = draw(dealers), draw(instants())
    to = draw(st.one_of(st.none(), st.integers(1, 9).map(lambda days: from_ + timedelta(days=days))))
    scope = draw(st.sampled_from(((), (), (), ("COLA",))))
    if what == "assigned":
        data = {"dealer": dealer, "territory": draw(territories), "from_": from_, "to": to, "skus": scope}
        return Said("territory.assigned.v1", hour, data | {"exclusive": draw(st.sampled_from((None, True)))})
    if what == "revoked":
        data = {"dealer": dealer, "territory": draw(territories), "from_": from_, "skus": scope}
        return Said("territory.revoked.v1", hour, data)
    if what == "rep":
        kind = draw(st.sampled_from(("territory", "dealer", "org")))
        target = {kind: {"territory": "N", "dealer": "D1", "org": "W"}[kind]}
        data = {"rep": draw(st.sampled_from(("R1", "R2", "R3"))), "to": target, "from_": from_, "until": to}
        return Said("rep.assigned.v1", hour, data)
    if what in ("registered", "admitted", "amended"):
        some = {
            "territory": draw(st.one_of(st.none(), territories)),
            "segment": draw(st.sampled_from((None, "A"))),
        }
        return Said(f"dealer.{what}.v1", hour, {"dealer": dealer, "name": "某某商行", **some})
    if what in ("suspended", "reinstated", "banned", "exited"):
        return Said(f"dealer.{what}.v1", hour, {"dealer": dealer, "reason": "因"})
    if what == "merged":
        return Said("dealer.merged.v1", hour, {"dealer": dealer, "merged": draw(dealers)})
    if what == "graded":
        return Said("dealer.graded.v1", hour, {"dealer": dealer, "grade": draw(st.sampled_from("AB"))})
    if what in ("signed", "changed"):
        owed = [{"code": "volume", "measure": "amount", "target": str(hour), "period": "month"}]
        data = {"contract": "C1", "dealer": dealer, "from_": from_, "to": to, "obligations": owed}
        return Said(f"contract.{'signed' if what == 'signed' else 'amended'}.v1", hour, data)
    if what == "ended":
        return Said("contract.ended.v1", hour, {"contract": "C1", "dealer": dealer, "from_": from_})
    if what == "closed":
        return Said("outlet.closed.v1", hour, {"outlet": "S1"})
    amended = what == "outlet"
    data = {"outlet": "S1", "name": None if amended else "店", "class_": None if amended else "small"}
    return Said(f"outlet.{'amended' if amended else 'opened'}.v1", hour, data | {"dealers": [dealer]})


@st.composite
def histories(draw: st.DrawFn, kinds: Sequence[str] = ALL) -> list[Said]:
    """Statements, each with a time of its own, in the order of these times."""
    hours = sorted(draw(st.sets(st.integers(0, 300), min_size=1, max_size=10)))
    return [draw(statements(hour, kinds)) for hour in hours]


MIXED = st.sampled_from((ALL, ("rep",), HOLDING, STANDING, CONTRACT)).flatmap(histories)


@LAW
@given(history=MIXED, data=st.data())
def test_nothing_depends_on_the_order_of_arrival(history: list[Said], data: Any) -> None:
    other = data.draw(st.permutations(history))

    assert figures(folded(history)) == figures(folded(other))


@LAW
@given(history=MIXED, data=st.data())
def test_a_statement_withdrawn_leaves_all_as_if_it_had_never_been_made(
    history: list[Said], data: Any
) -> None:
    gone = data.draw(st.sampled_from(history))

    without = folded([said for said in history if said is not gone])

    assert figures(folded(history, [gone])) == figures(without)


@LAW
@given(history=histories(("rep", *HOLDING)))
def test_holdings_are_disjoint_and_adjacent_ones_differ(history: list[Said]) -> None:
    rows = folded(history)

    assert all(row.from_day < row.to_day for row in rows.all(Holding))
    assert all(row.from_day < row.to_day for row in rows.all(RepHolding))
    for first, second in pairwise(rows.all(Holding)):
        if first.dealer == second.dealer:
            assert first.to_day <= second.from_day
            assert first.to_day < second.from_day or first.territory != second.territory
    for one, other in pairwise(rows.all(RepHolding)):
        if (one.kind, one.target) == (other.kind, other.target):
            assert one.to_day <= other.from_day
            assert one.to_day < other.from_day or one.rep != other.rep


@LAW
@given(history=histories(HOLDING))
def test_a_dealer_holds_on_every_day_what_its_statements_say_of_that_day(history: list[Said]) -> None:
    rows = folded(history)

    for dealer in ("D1", "D2"):
        for day in DAYS:
            held = [
                h.territory for h in rows.all(Holding) if h.dealer == dealer and h.from_day <= day < h.to_day
            ]
            assert held == held_on(history, dealer, day), (dealer, day)


def held_on(history: Sequence[Said], dealer: str, day: date) -> list[str]:
    """The territory a dealer holds on a day, reckoned from the statements in the plainest way."""
    mine = [said for said in history if said.data.get("dealer") == dealer]
    assigned = _standing([said for said in mine if said.type == "territory.assigned.v1"])
    revoked = _standing([said for said in mine if said.type == "territory.revoked.v1"])
    whole = [said for said in assigned if not said.data["skus"]]
    if not whole or day < min(said.data["from_"].date() for said in whole):
        recorded = [said for said in mine if said.data.get("territory") and said.type in RECORDS]
        known = [said for said in recorded if said.time.date() <= day] or recorded[:1]
        return [said.data["territory"] for said in known[-1:]]
    best = [
        said
        for said in whole
        if said.data["from_"].date() <= day
        and (said.data["to"] is None or day < said.data["to"].date())
        and not any(_ends(taken, said) and taken.data["from_"].date() <= day for taken in revoked)
    ]
    best.sort(key=lambda said: (said.data["from_"], said.time))
    return [said.data["territory"] for said in best[-1:]]


RECORDS = ("dealer.registered.v1", "dealer.admitted.v1", "dealer.amended.v1")


def _standing(history: Sequence[Said]) -> list[Said]:
    """The last statement of every territory and beginning."""
    return list({(said.data["territory"], said.data["from_"]): said for said in history}.values())


def _ends(revoked: Said, assigned: Said) -> bool:
    return (
        not revoked.data["skus"]
        and revoked.data["territory"] == assigned.data["territory"]
        and (revoked.data["from_"], revoked.time) > (assigned.data["from_"], assigned.time)
    )


@LAW
@given(history=histories(("rep",)))
def test_a_target_has_on_every_day_the_representative_assigned_last(history: list[Said]) -> None:
    rows = folded(history)
    slots = {
        (said.data["rep"], json.dumps(said.data["to"]), said.data["from_"]): said
        for said in history
        if said.type == "rep.assigned.v1"
    }

    for target in ({"territory": "N"}, {"dealer": "D1"}, {"org": "W"}):
        [(kind, name)] = target.items()
        for day in DAYS:
            best = [
                said
                for said in slots.values()
                if said.data["to"] == target
                and said.data["from_"].date() <= day
                and (said.data["until"] is None or day < said.data["until"].date())
            ]
            best.sort(key=lambda said: (said.data["from_"], said.time))
            held = [
                h.rep
                for h in rows.all(RepHolding)
                if (h.kind, h.target) == (kind, name) and h.from_day <= day < h.to_day
            ]
            assert held == ([] if kind == "org" else [said.data["rep"] for said in best[-1:]])


@LAW
@given(history=histories(HOLDING))
def test_a_territory_is_flagged_while_two_dealers_hold_it_exclusively(history: list[Said]) -> None:
    rows = folded(history)

    crossed = {
        row.territory
        for row in rows.all(TerritoryClaims)
        for one in row.exclusive
        for other in row.exclusive
        if one.dealer < other.dealer
        and one.skus == other.skus
        and one.from_day < other.to_day
        and other.from_day < one.to_day
    }
    claims = {(row.territory, claim) for row in rows.all(TerritoryClaims) for claim in row.exclusive}
    assert {flag.subject for flag in rows.all(TerritoryFlag) if flag.cleared is None} == crossed
    assert claims >= {
        (row.territory, Exclusive(row.dealer, row.from_day, row.to_day, row.skus, row.categories))
        for row in rows.all(TerritoryAssignment)
        if row.exclusive and row.from_day < row.to_day
    }


@LAW
@given(history=histories(STANDING))
def test_the_spans_of_a_dealer_follow_each_other_without_a_gap(history: list[Said]) -> None:
    rows = folded(history)

    spans = {dealer: [s for s in rows.all(DealerSpan) if s.dealer == dealer] for dealer in ("D1", "D2")}
    for state in rows.all(DealerState):
        mine = spans[state.dealer]
        assert state.status == (mine[-1].status if mine else "")
        for first, second in pairwise(mine):
            assert first.until == second.since
            assert first.status != second.status
        assert not mine or mine[-1].until is None


@LAW
@given(history=histories(CONTRACT))
def test_the_terms_of_a_contract_lie_within_it_one_after_the_other(history: list[Said]) -> None:
    for contract in folded(history).all(Contract):
        assert contract.from_day <= contract.to_day
        for term in contract.terms:
            assert contract.from_day <= term.from_day < term.to_day <= contract.to_day
        for first, second in pairwise(contract.terms):
            assert first.to_day <= second.from_day


@LAW
@given(
    parents=st.dictionaries(st.sampled_from("ABCDEF"), st.sampled_from("ABCDEF")),
    top=st.sampled_from("ABCDEF"),
)
def test_a_subtree_is_all_whose_parents_lead_to_its_top(parents: dict[str, str], top: str) -> None:
    rows = MemoryRows()
    for territory, parent in parents.items():
        rows.put(Territory(territory, "x", parent))

    found = subtree(rows, top)

    def leads(territory: str) -> bool:
        seen: set[str] = set()
        while territory not in seen and territory != top:
            seen.add(territory)
            territory = parents.get(territory, territory)
        return territory == top

    assert found == {top, *filter(leads, parents)}


def test_an_outlet_amended_keeps_what_the_amendment_does_not_give() -> None:
    opened = Said("outlet.opened.v1", 1, {"outlet": "S1", "name": "店", "class_": "small", "dealers": ["D1"]})
    amended = Said("outlet.amended.v1", 2, {"outlet": "S1", "dealers": ["D2", "D3"]})
    closed = Said("outlet.closed.v1", 3, {"outlet": "S1"})

    [outlet] = folded([closed, amended, opened]).all(Outlet)

    assert (outlet.name, outlet.dealers, outlet.closed) == ("店", ("D2", "D3"), closed.time)
    assert folded([opened, amended, closed], [closed]).all(Outlet)[0].closed is None


def test_one_day_of_a_representative_shows_the_assignment_that_began_last_on_it() -> None:
    morning = {"rep": "R1", "to": {"dealer": "D1"}, "from_": BEGIN, "until": BEGIN + timedelta(days=9)}
    noon = {"rep": "R1", "to": {"dealer": "D1"}, "from_": BEGIN + timedelta(hours=12)}

    rows = folded([Said("rep.assigned.v1", 2, noon), Said("rep.assigned.v1", 1, morning)])

    [assignment] = rows.all(RepAssignment)
    assert assignment.to_day == date.max
