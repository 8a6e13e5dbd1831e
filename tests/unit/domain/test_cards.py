"""What a card must be to mean anything: every place that is wrong is named, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cards import FIGURES, WAYS, Card, nonsense
from domain.policies import ASSESSMENT, BUILT_IN, card_of, unreadable

LAW = settings(max_examples=100, derandomize=True, database=None, deadline=None)
RATIO = {"code": "a", "figure": "on_time", "points": 10, "way": "ratio"}
BAND = {
    "code": "a",
    "figure": "order_change_rate",
    "points": 10,
    "way": "band",
    "bands": [["0.1", 100], [1, 50]],
}
DOWN = {"code": "a", "figure": "diversions", "points": 10, "way": "count_down", "step": 5}
HAND = {"code": "a", "figure": "whatever they see", "points": 10, "way": "manual", "grades": {"優": 100}}
LESS = {"code": "a", "figure": "diversions", "each": 3, "most": 6}


def wrong(**said: Any) -> list[str]:
    card = msgspec.convert({"criteria": [RATIO], **said}, Card, strict=False)
    return [flaw.field for flaw in nonsense(card)]


@pytest.mark.parametrize("policy", BUILT_IN, ids=lambda p: p.policy)
def test_what_is_built_in_can_be_in_force(policy: Any) -> None:
    assert unreadable(policy.kind, policy.body) == []
    assert (card_of(policy) is not None) == (policy.kind == ASSESSMENT)


@pytest.mark.parametrize(
    "one",
    [
        *(RATIO, BAND, DOWN, HAND, {**BAND, "figure": "forecast_error", "target": 2}),
        *({**RATIO, "figure": "skus_in_stock", "target": 12}, {**DOWN, "figure": "manual"}),
    ],
)
def test_every_way_to_earn_points_can_be_used(one: dict[str, Any]) -> None:
    assert wrong(criteria=[one], deductions=[LESS], grades=[["pass", 60], ["fail", 0]]) == []


@pytest.mark.parametrize(
    ("one", "place"),
    [
        ({**RATIO, "points": 0}, "points"),
        ({**RATIO, "points": -1}, "points"),
        ({**RATIO, "points": "0.0000001"}, "points"),
        ({**RATIO, "code": ""}, "code"),
        ({**RATIO, "code": "x" * 65}, "code"),
        ({**RATIO, "figure": "lateness"}, "figure"),
        ({**RATIO, "way": "ration"}, "way"),
        ({**RATIO, "target": 0}, "target"),
        ({**RATIO, "target": -12}, "target"),
        ({**RATIO, "figure": "diversions"}, "target"),
        ({**RATIO, "figure": "skus_in_stock"}, "target"),
        ({**BAND, "figure": "late_payments"}, "target"),
        ({**DOWN, "figure": "target_attainment"}, "figure"),
        ({**DOWN, "figure": "skus_in_stock"}, "figure"),
        ({**RATIO, "floor": "1.01"}, "floor"),
        ({**RATIO, "floor": -1}, "floor"),
        ({**RATIO, "step": 5}, "step"),
        ({**RATIO, "bands": [[1, 100]]}, "bands"),
        ({**RATIO, "grades": {"優": 100}}, "grades"),
        ({**BAND, "bands": []}, "bands"),
        ({**BAND, "bands": [["0.5", 100], ["0.5", 50]]}, "bands[1][0]"),
        ({**BAND, "bands": [["0.5", 100], ["0.1", 50]]}, "bands[1][0]"),
        ({**BAND, "bands": [["0.5", 101]]}, "bands[0][1]"),
        ({**BAND, "floor": "0.5"}, "floor"),
        ({**BAND, "target": 0}, "target"),
        ({**DOWN, "step": 0}, "step"),
        ({**DOWN, "step": -5}, "step"),
        ({**DOWN, "target": 5}, "target"),
        ({**HAND, "grades": {"優": 101}}, "grades.優"),
        ({**HAND, "step": 5}, "step"),
    ],
    ids=str,
)
def test_a_criterion_that_makes_no_sense_is_named_with_its_place(one: dict[str, Any], place: str) -> None:
    assert wrong(criteria=[{**RATIO, "code": "first"}, one]) == [f"criteria[1].{place}"]


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"criteria": []}, "criteria"),
        ({"criteria": [{**RATIO, "code": str(n)} for n in range(201)]}, "criteria"),
        ({"criteria": [RATIO, DOWN]}, "criteria[1].code"),
        ({"deductions": [LESS, LESS]}, "deductions[1].code"),
        ({"deductions": [{**LESS, "each": -3}]}, "deductions[0].each"),
        ({"deductions": [{**LESS, "most": -6}]}, "deductions[0].most"),
        ({"deductions": [{**LESS, "figure": "manual"}]}, "deductions[0].figure"),
        ({"deductions": [{**LESS, "figure": "on_time"}]}, "deductions[0].figure"),
        ({"grades": []}, "grades"),
        ({"grades": [["A", 90], ["B", 10]]}, "grades"),
        ({"grades": [["A", 101], ["B", 0]]}, "grades[0][1]"),
        ({"grades": [["A", 90], ["A", 0]]}, "grades[1][0]"),
        ({"grades": [["A", 90], ["B", "90.0"], ["C", 0]]}, "grades[1][1]"),
        ({"coverage_least": "1.1"}, "coverage_least"),
        ({"coverage_least": "-0.1"}, "coverage_least"),
    ],
    ids=lambda said: str(said)[:60],
)
def test_a_card_that_makes_no_sense_is_named_with_its_place(said: dict[str, Any], place: str) -> None:
    assert wrong(**said) == [place]


def test_all_that_is_wrong_is_said_at_once() -> None:
    said = {"criteria": [{**RATIO, "points": 0}, {**DOWN, "step": 0}], "coverage_least": 2}

    assert wrong(**said) == ["criteria[1].code", "criteria[0].points", "criteria[1].step", "coverage_least"]


numbers = st.sampled_from(
    ["NaN", "sNaN", "-Infinity", "1E+900000000", "-1E-900000000", "0", "1", "50", "1e20"]
)
fields = {
    "points": numbers,
    "way": st.sampled_from([*WAYS, "?"]),
    "figure": st.sampled_from(["on_time", "manual", "?"]),
}
further = {
    **dict.fromkeys(("floor", "target", "step"), numbers),
    "bands": st.lists(st.tuples(numbers, numbers), max_size=3),
    "grades": st.dictionaries(st.sampled_from(["優", ""]), numbers),
}
criteria = st.fixed_dictionaries({"code": st.sampled_from("ab"), **fields}, optional=further)
bodies = st.fixed_dictionaries(
    {"criteria": st.lists(criteria, max_size=3)},
    optional={
        "grades": st.lists(st.tuples(st.sampled_from("AB"), numbers), max_size=3),
        "coverage_least": numbers,
    },
)


@LAW
@given(bodies)
def test_no_number_however_odd_is_more_than_a_flaw(said: dict[str, Any]) -> None:
    found = unreadable(ASSESSMENT, said)

    assert all(flaw.field and len(flaw.reason) < 400 for flaw in found)
    assert found or all(one["figure"] in (*FIGURES, "manual") for one in said["criteria"])


def test_a_body_of_another_kind_says_why_it_is_passed_over() -> None:
    found = [
        unreadable("otif", {"grace_minutes": -1}),
        unreadable("calendar", {"working_days": [8]}),
        unreadable("recognition", {"counts": "shipped"}),
        unreadable(ASSESSMENT, {"criteria": "none"}),
    ]

    assert [[flaw.field for flaw in flaws] for flaws in found] == [
        ["grace_minutes"],
        ["working_days[0]"],
        ["counts"],
        ["criteria"],
    ]
    assert unreadable("admission", {"anything": "goes"}) == []
