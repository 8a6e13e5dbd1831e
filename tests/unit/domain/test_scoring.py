"""A card adds up: what each criterion earned explains the score, whatever the card and the figures."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cards import Card, Criterion, Deduction
from domain.policies import ASSESSMENT, BUILT_IN, card_of
from domain.scoring import NO_GRADE, Figure, score

D = Decimal
LAW = settings(max_examples=30, derandomize=True, database=None, deadline=None)
small = st.decimals(0, 200, places=2)
names = st.sampled_from(["a", "b", "c"])
criteria = st.builds(
    Criterion,
    code=names,
    figure=names,
    points=st.integers(1, 60).map(D),
    way=st.sampled_from(["ratio", "band", "count_down", "manual", "unheard-of"]),
    floor=st.none() | st.just(D("0.5")),
    target=st.none() | st.just(D(12)),
    bands=st.just(((D("0.1"), D(100)), (D("0.5"), D(60)))),
    step=st.integers(0, 20).map(D),
    grades=st.just({"優": D(100), "差": D(0)}),
)
cards = st.builds(
    Card,
    criteria=st.lists(criteria, max_size=5).map(tuple),
    deductions=st.lists(
        st.builds(Deduction, code=names, figure=names, each=small, most=small), max_size=3
    ).map(tuple),
    coverage_least=st.sampled_from([D(0), D("0.6"), D(1)]),
)
figures = st.dictionaries(names, st.builds(Figure, part=small, whole=st.none() | small))
given_by_hand = st.dictionaries(names, small | st.sampled_from(["優", "差", "?"]))


@LAW
@given(cards, figures, given_by_hand)
def test_what_was_earned_and_taken_off_makes_the_score_to_the_cent(
    card: Card, seen: dict[str, Figure], hand: dict[str, Decimal | str]
) -> None:
    filled = score(card, seen, hand)

    judged = [one for one in filled.criteria if one.earned is not None]
    assert all(D(0) <= (one.earned or D(0)) <= one.points for one in judged)
    assert all(one.reason for one in filled.criteria if one.earned is None)
    if filled.score is None:
        assert filled.grade == NO_GRADE
        assert not judged or filled.coverage < card.coverage_least
        return
    whole, earned = sum(one.points for one in judged), sum(one.earned or D(0) for one in judged)
    total = max(D(0), min(D(100), 100 * earned / whole - sum(d.points for d in filled.deductions)))
    assert abs(filled.score - total) <= D("0.005001")
    assert sum(d.points for d in filled.deductions) <= sum(d.most for d in card.deductions)


@LAW
@given(cards, figures, given_by_hand)
def test_what_nobody_knows_neither_adds_nor_takes_away(
    card: Card, seen: dict[str, Figure], hand: dict[str, Decimal | str]
) -> None:
    blank = Criterion(code="z", figure="z", points=D(0), way="ratio")
    more = Card(
        criteria=(*card.criteria, blank), deductions=card.deductions, coverage_least=card.coverage_least
    )

    assert score(more, seen, hand).score == score(card, seen, hand).score


def test_every_built_in_card_can_be_read_and_is_of_a_hundred_points() -> None:
    found = [card_of(policy) for policy in BUILT_IN if policy.kind == ASSESSMENT]

    assert [sum(c.points for c in card.criteria) for card in found if card is not None] == [D(100)] * len(
        found
    )
