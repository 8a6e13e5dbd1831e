"""What is seen and reported in the field: visits, complaints, prices, violations and grades given."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from domain.calendar import Instant, Window
from domain.catalogue import fact
from domain.envelope import Payload
from domain.identifiers import Id
from domain.numbers import ZERO, Currency, UnsignedMoney, UnsignedQuantity, exact_fields
from domain.places import Place
from domain.texts import LINES_MAX, Code, Reference, Text

Evidence = Annotated[tuple[Reference, ...], Meta(max_length=100)]
Points = Annotated[Decimal, Meta(description="Points of a policy; at most 6 decimal places.")]


@fact("visit.planned.v1", families=("field",), effective=lambda data: data.planned_for)
class VisitPlanned(Payload, frozen=True, kw_only=True):
    """A representative means to visit an outlet."""

    visit: Id
    outlet: Id
    dealer: Id | None = None
    rep: Id
    route: Id | None = None
    planned_for: Instant | None = None


class Seen(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a visitor saw of one SKU."""

    sku: Id
    on_shelf: bool
    stock: UnsignedQuantity | None = None
    facings: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    position: Code | None = None
    price: UnsignedMoney | None = None
    oldest_produced: Instant | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "stock", "price", least=ZERO)


@fact("visit.completed.v1", families=("field",), effective=lambda data: data.started)
class VisitCompleted(Payload, frozen=True, kw_only=True):
    """A visit is over: it took place, or was skipped for a reason."""

    visit: Id
    outlet: Id
    dealer: Id | None = None
    rep: Id
    route: Id | None = None
    planned_for: Instant | None = None
    started: Instant | None = None
    ended: Instant | None = None
    place: Place | None = None
    outcome: Code | None = None
    order: Id | None = None
    skipped_reason: Text | None = None
    seen: Annotated[tuple[Seen, ...], Meta(max_length=LINES_MAX)] = ()

    def __post_init__(self) -> None:
        if self.started is not None and self.ended is not None and self.ended < self.started:
            raise ValueError("`ended` must not be before `started`")


@fact("complaint.opened.v1", families=("field",))
class ComplaintOpened(Payload, frozen=True, kw_only=True):
    """A dealer or outlet complains."""

    complaint: Id
    dealer: Id
    outlet: Id | None = None
    kind: Code
    text: Text | None = None


@fact("complaint.resolved.v1", families=("field",), step=True)
class ComplaintResolved(Payload, frozen=True, kw_only=True):
    """A complaint has been dealt with."""

    complaint: Id
    dealer: Id
    outlet: Id | None = None
    kind: Code | None = None
    text: Text | None = None
    decision: Text | None = None


@fact("feedback.raised.v1", families=("field",))
class FeedbackRaised(Payload, frozen=True, kw_only=True):
    """A dealer or outlet proposes or asks for something."""

    feedback: Id
    dealer: Id
    outlet: Id | None = None
    kind: Code
    text: Text | None = None


@fact("feedback.decided.v1", families=("field",), step=True)
class FeedbackDecided(Payload, frozen=True, kw_only=True):
    """The company has answered a proposal."""

    feedback: Id
    dealer: Id
    outlet: Id | None = None
    kind: Code | None = None
    text: Text | None = None
    decision: Text


@fact("price.observed.v1", families=("field",), effective=lambda data: data.at)
class PriceObserved(Payload, frozen=True, kw_only=True):
    """Somebody saw a SKU offered at this price."""

    observation: Id
    outlet: Id | None = None
    dealer: Id | None = None
    sku: Id
    price: UnsignedMoney
    currency: Currency
    at: Instant

    def __post_init__(self) -> None:
        exact_fields(self, "price", least=ZERO)


@fact("violation.recorded.v1", families=("field",))
class ViolationRecorded(Payload, frozen=True, kw_only=True):
    """A dealer is said to have broken a rule; whether it has is decided later."""

    case: Id
    dealer: Id
    kind: Code
    rule: Code | None = None
    evidence: Evidence = ()
    points: Points | None = None
    by: Id | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "points")


@fact("violation.confirmed.v1", families=("decisions",), step=True)
class ViolationConfirmed(Payload, frozen=True, kw_only=True):
    """The company finds that the dealer has broken the rule."""

    case: Id
    dealer: Id
    kind: Code
    rule: Code | None = None
    evidence: Evidence = ()
    points: Points | None = None
    by: Id | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "points")


@fact("violation.dismissed.v1", families=("decisions",), step=True)
class ViolationDismissed(Payload, frozen=True, kw_only=True):
    """The company finds that the dealer has not broken the rule."""

    case: Id
    dealer: Id
    kind: Code
    rule: Code | None = None
    evidence: Evidence = ()
    points: Points | None = None
    by: Id | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "points")


@fact(
    "assessment.input.v1",
    families=("field",),
    document="assessment_input",
    slot=("period", "criterion"),
)
class AssessmentInput(Payload, frozen=True, kw_only=True):
    """A value or grade that a person gives a dealer by one criterion, for one period."""

    dealer: Id
    period: Window
    criterion: Code
    value: Annotated[Decimal, Meta(description="In the unit of its criterion.")] | None = None
    grade: Code | None = None
    by: Id
    evidence: Evidence = ()

    def __post_init__(self) -> None:
        exact_fields(self, "value")
