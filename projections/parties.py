"""Parties: dealers, outlets, territories, representatives, contracts and locations, and who held what when."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from projections.assignments import (
    DealerTerritories,
    Holding,
    TerritoryAssignment,
    TerritoryClaims,
    TerritoryFlag,
    TerritoryOverlap,
    assignment_keys,
    fold_assignments,
)
from projections.contracts import Contract, contract_keys, contracts_at, fold_contract
from projections.dealer_pages import VIEWS, Dealer, dealers_at
from projections.dealers import DealerSpan, DealerStanding, DealerState, dealer_keys, fold_dealer
from projections.documents import Change
from projections.outlets import Location, Outlet, fold_location, fold_outlet, outlet_keys
from projections.projection import Computed, Projection
from projections.reps import Rep, RepAssignment, RepHolding, RepTarget, fold_rep, rep_keys
from projections.rows import Key, Row, Rows
from projections.territories import (
    Org,
    Territory,
    TerritoryBranch,
    fold_org,
    fold_territory,
    territory_keys,
)

Keys = Callable[[Change], Iterator[tuple[type[Row], Key]]]
_BY_KIND: dict[str, tuple[Keys, Callable[[Change, Rows], None]]] = {
    "dealer": (dealer_keys, fold_dealer),
    "territory": (territory_keys, fold_territory),
    "org": (territory_keys, fold_org),
    "territory_assignment": (assignment_keys, fold_assignments),
    "rep": (rep_keys, fold_rep),
    "outlet": (outlet_keys, fold_outlet),
    "location": (outlet_keys, fold_location),
    "contract": (contract_keys, fold_contract),
}


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches."""
    return _BY_KIND[change.kind][0](change)


def fold(change: Change, rows: Rows) -> None:
    """Put what the document now says, and what follows from it for others' intervals."""
    _BY_KIND[change.kind][1](change, rows)


PARTIES = Projection(
    name="parties",
    rows=(
        *(DealerState, DealerSpan, DealerStanding, Contract, Outlet, Location),
        *(Territory, Org, TerritoryAssignment, Holding, DealerTerritories, TerritoryClaims, TerritoryFlag),
        *(Rep, RepAssignment, RepHolding, RepTarget),
    ),
    kinds=frozenset(_BY_KIND),
    by_name=frozenset({"location"}),
    keys=keys,
    fold=fold,
    modules=(
        *("projections.parties", "projections.dealers", "projections.outlets", "projections.contracts"),
        *("projections.territories", "projections.assignments", "projections.reps", "projections.holdings"),
    ),
    views=(TerritoryBranch, TerritoryOverlap, *VIEWS, Dealer),
    computed=(Computed(Contract, contracts_at, always=True), Computed(Dealer, dealers_at, always=True)),
    reads=(
        *("index", "orders", "stock", "sales"),
        *("deliveries", "policies", "receivables", "targets", "assessments"),
    ),
)
