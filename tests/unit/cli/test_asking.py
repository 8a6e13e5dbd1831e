from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cli.asking import refusal

FLAGS = {"known_at": "--known-at", "card": "--card", "periods": "--period"}


def said(detail: str, *errors: tuple[str, str], **more: Any) -> str:
    problem = {"detail": detail, "errors": [{"field": f, "reason": r} for f, r in errors], **more}
    return str(refusal("/orders", 400, msgspec.json.encode(problem), FLAGS))


@pytest.mark.parametrize(
    ("detail", "errors", "told"),
    [
        ("wrong in this query: known_at", [("known_at", "must be x")], "; --known-at: must be x"),
        ("wrong in this query: limit", [("limit", "must be 1")], "; limit: must be 1"),
        ("one at a time", [("a", "no"), ("b", "leave it out")], "; a: no; b: leave it out"),
        ("the book begins", [("known_at", "the book begins")], None),
        ("a is missing; b is missing", [("a", "is missing"), ("b", "is missing")], ""),
        ("a is missing", [("a", "is missing"), ("b", "is missing")], "; b: is missing"),
        ("erp#1 was taken: it differs", [("id", "it differs")], ""),
    ],
)
def test_what_the_sentence_of_a_problem_does_not_say_is_said_once(
    detail: str, errors: list[tuple[str, str]], told: str | None
) -> None:
    by_flag = f"--known-at: {detail}" if told is None else f"{detail}{told}"

    assert said(detail, *errors) == f"the API refuses /orders: {by_flag}"


def test_what_is_wrong_within_what_a_flag_names_is_told_by_the_flag() -> None:
    card, period = ("card.criteria[0].points", "must be more than 0"), ("periods[1]", "'soon' is no year")

    told = said("card.criteria[0].points must be more than 0; and 1 more", card, period)

    assert told.endswith(
        "/orders: --card criteria[0].points: must be more than 0; --period: 'soon' is no year"
    )


def test_what_was_decided_meanwhile_is_named() -> None:
    between = [{"sequence": 7, "type": "assessment.published.v1", "dealer": "D1"}]

    assert said("no", between=between).endswith(
        "no; decided meanwhile: assessment.published.v1 of D1 at sequence 7"
    )


def test_a_problem_without_a_sentence_is_its_title_or_its_status() -> None:
    assert said("", title="The log does not answer").endswith(": The log does not answer")
    assert said("").endswith(": 400")
