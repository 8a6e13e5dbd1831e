"""The card that dealers are assessed by (考核), as a policy states it, and every place where it makes no sense."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from msgspec import Struct

from domain.flaws import Reason
from domain.numbers import ZERO, exact, text

ONE, HUNDRED = Decimal(1), Decimal(100)
PARTS_MAX = 200  # criteria, deductions or grades of a card: an event has its size
CODE_MAX = 64

#: What the log says of a dealer in a period, by the names that cards use; projections/assessment_figures.py counts it.
#: Parts of a whole, cases, and a number that is neither.
OF_A_WHOLE = ("on_time", "order_change_rate", "target_attainment", "main_product_attainment")
CASES = ("late_payments", "price_breaches", "diversions", "other_violations", "valid_complaints")
FIGURES = (*OF_A_WHOLE, *CASES, "skus_in_stock")
#: What the log has no figure of: a person enters the value, for the criterion.
BY_HAND = ("forecast_error", "manual")
#: way → what it looks at beside the figure; anything else that is said with it is a mistake.
WAYS = {
    "ratio": ("floor", "target"),
    "band": ("bands", "target"),
    "count_down": ("step",),
    "manual": ("grades",),
}


class Criterion(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One criterion of an assessment.

    `figure` names what is looked at: one of FIGURES, or of BY_HAND where persons enter it. `points` is the full score.
    How it is earned: `ratio`: points × min(1, numerator ÷ denominator), nothing below `floor`; `band`: the points of
    the first band whose `most` the figure does not exceed; `count_down`: full points less `step` for each; `manual`:
    points × the value a person gave ÷ 100, or by `grades`.
    """

    code: str
    name: str = ""
    figure: str
    points: Decimal
    way: str
    floor: Decimal | None = None
    target: Decimal | None = None  # the denominator, where the figure has none
    bands: tuple[tuple[Decimal, Decimal], ...] = ()  # (at most, share of the points in percent)
    step: Decimal = ZERO
    grades: dict[str, Decimal] = {}  # grade → share of the points in percent


class Deduction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many points off for each case, at most `most` of them."""

    code: str
    figure: str
    each: Decimal
    most: Decimal


class Card(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a policy of kind `assessment`; `nonsense` says what it must be beside its types.

    The score is 100 × Σ points earned ÷ Σ points of the criteria that can be judged, less deductions, within 0 and
    100; under `coverage_least` of the points there is no grade (暫不評級). Grades are from the top; the lowest has 0.
    """

    criteria: tuple[Criterion, ...]
    deductions: tuple[Deduction, ...] = ()
    grades: tuple[tuple[str, Decimal], ...] = (
        ("A", Decimal(90)),
        ("B", Decimal(80)),
        ("C", Decimal(70)),
        ("D", ZERO),
    )
    coverage_least: Decimal = Decimal("0.6")


def nonsense(card: Card) -> list[Reason]:
    """Every place of a card that cannot be meant, each with what to say there; nothing of a card that can be used."""
    return [
        *_count("criteria", card.criteria, least=1),
        *_repeated("criteria", [one.code for one in card.criteria]),
        *[flaw for n, one in enumerate(card.criteria) for flaw in _criterion(f"criteria[{n}]", one)],
        *_count("deductions", card.deductions),
        *_repeated("deductions", [one.code for one in card.deductions]),
        *[flaw for n, one in enumerate(card.deductions) for flaw in _deduction(f"deductions[{n}]", one)],
        *_grades(card.grades),
        *_number("coverage_least", card.coverage_least, ZERO, ONE),
    ]


def _criterion(place: str, one: Criterion) -> Iterator[Reason]:
    yield from _code(f"{place}.code", one.code)
    yield from _number(f"{place}.points", one.points, above=ZERO)
    if one.way not in WAYS:
        yield Reason(f"{place}.way", f"must be one of {', '.join(WAYS)}, not {one.way!r}")
        return
    yield from _figure(f"{place}.figure", one)
    for field in ("floor", "target", "bands", "step", "grades"):
        if field not in WAYS[one.way] and _is_said(getattr(one, field)):
            ways = " and ".join(way for way, fields in WAYS.items() if field in fields)
            yield Reason(f"{place}.{field}", f"is for {ways} alone: leave it out of {one.way}")
    match one.way:
        case "ratio":
            yield from _number(f"{place}.floor", one.floor, ZERO, ONE)
            yield from _number(f"{place}.target", one.target, above=ZERO)
        case "band":
            yield from _number(f"{place}.target", one.target, above=ZERO)
            yield from _bands(f"{place}.bands", one.bands)
        case "count_down":
            yield from _number(f"{place}.step", one.step, above=ZERO)
        case "manual":
            for grade, share in one.grades.items():
                yield from _number(f"{place}.grades.{grade}", share, ZERO, HUNDRED)


def _is_said(value: object) -> bool:
    """Whether a field that may be left out was not; a step of 0 and no step are the same."""
    return (
        value is not None and value not in ((), {}) and not (isinstance(value, Decimal) and value.is_zero())
    )


def _figure(place: str, one: Criterion) -> Iterator[Reason]:
    """Where a person judges, the figure is only a name for it; what a person enters is held to one, and to a target."""
    if one.way == "manual":
        yield from _code(place, one.figure)
    elif one.figure not in (*FIGURES, *BY_HAND):
        there = ", ".join(FIGURES)
        yield Reason(
            place,
            f"{one.figure!r} is no figure: there are {there}; {' and '.join(BY_HAND)} are entered by persons",
        )
    elif one.way == "count_down" and one.figure not in (*CASES, *BY_HAND):
        yield Reason(place, f"must be of cases to be counted down: {', '.join(CASES)}")
    elif one.way in ("ratio", "band") and one.target is None and one.figure not in (*OF_A_WHOLE, *BY_HAND):
        yield Reason(
            place.replace("figure", "target"), f"is missing: {one.figure} has no whole to be held to"
        )


def _bands(place: str, bands: Sequence[tuple[Decimal, Decimal]]) -> Iterator[Reason]:
    if not bands:
        yield Reason(place, "must name at least one band: [at most, share of the points in percent]")
    before: Decimal | None = None
    for number, (most, share) in enumerate(bands):
        wrong = [*_number(f"{place}[{number}][0]", most)]
        yield from wrong
        yield from _number(f"{place}[{number}][1]", share, ZERO, HUNDRED)
        if not wrong:
            if before is not None and most <= before:
                reason = (
                    f"must be more than the {text(before)} of the band before it: the first that fits counts"
                )
                yield Reason(f"{place}[{number}][0]", reason)
            before = most


def _deduction(place: str, one: Deduction) -> Iterator[Reason]:
    yield from _code(f"{place}.code", one.code)
    if one.figure not in CASES:
        yield Reason(f"{place}.figure", f"must be of cases, not {one.figure!r}: {', '.join(CASES)}")
    yield from _number(f"{place}.each", one.each, ZERO)
    yield from _number(f"{place}.most", one.most, ZERO)


def _grades(grades: Sequence[tuple[str, Decimal]]) -> Iterator[Reason]:
    yield from _count("grades", grades, least=1)
    yield from _repeated("grades", [grade for grade, _ in grades], "[0]")
    leasts = [least if least.is_finite() else None for _, least in grades]
    yield from _repeated("grades", leasts, "[1]")
    for number, (grade, least) in enumerate(grades):
        yield from _code(f"grades[{number}][0]", grade)
        yield from _number(f"grades[{number}][1]", least, ZERO, HUNDRED)
    if grades and not any(least.is_zero() for _, least in grades):
        yield Reason("grades", "must have one from 0 on, or low scores would have no grade")


def _count(place: str, parts: Sequence[object], least: int = 0) -> Iterator[Reason]:
    if not least <= len(parts) <= PARTS_MAX:
        reason = f"must be {least} to {PARTS_MAX}" if least else f"must be at most {PARTS_MAX}"
        yield Reason(place, f"{reason}, not {len(parts)}")


def _repeated(place: str, said: Iterable[str | Decimal | None], within: str = ".code") -> Iterator[Reason]:
    first: dict[str | Decimal, int] = {}
    for number, one in enumerate(said):
        if one is not None and (before := first.setdefault(one, number)) != number:
            yield Reason(f"{place}[{number}]{within}", f"is that of {place}[{before}] already: give another")


def _code(place: str, said: str) -> Iterator[Reason]:
    if not 1 <= len(said) <= CODE_MAX:
        yield Reason(place, f"must have 1 to {CODE_MAX} characters, not {len(said)}")


def _number(
    place: str,
    value: Decimal | None,
    least: Decimal | None = None,
    most: Decimal | None = None,
    *,
    above: Decimal | None = None,
) -> Iterator[Reason]:
    if value is None:
        return
    try:
        exact("it", value)
    except ValueError as error:
        yield Reason(place, str(error).removeprefix("`it` "))
        return
    if above is not None and value <= above:
        yield Reason(place, f"must be more than {text(above)}, not {text(value)}")
    elif least is not None and most is not None and not least <= value <= most:
        yield Reason(place, f"must be {text(least)} to {text(most)}, not {text(value)}")
    elif least is not None and value < least:
        yield Reason(place, f"must be at least {text(least)}, not {text(value)}")
