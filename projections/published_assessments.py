"""Published assessments: each as it was told, what superseded it, and where to see what was known then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

from domain.assessment import AssessmentPublished, LateFact
from domain.calendar import business_day
from domain.identifiers import escape
from domain.numbers import ZERO
from domain.scoring import Deducted, Judged
from projections.documents import Change, Document
from projections.projection import Projection
from projections.rows import Key, Row, Rows, table


@table("published_assessments", key=("dealer", "assessment"), indexes=(("from_day",),), period="from_day")
class PublishedAssessment(Row):
    """A dealer's assessment as it was published; later facts do not change it, they supersede it by another.

    `because` names the events that became known since the one it supersedes, and what each moved. `seen` is where
    the card is answered as it was true at the instant `at`, known up to `cutoff_sequence`: what was decided upon. It is
    empty where no card was left.
    """

    dealer: str
    assessment: str
    period: str = ""
    from_day: date | None = None
    to_day: date | None = None
    policy: str = ""
    version: str = ""
    score: Decimal | None = None
    grade: str = ""
    coverage: Decimal = ZERO
    criteria: tuple[Judged, ...] = ()
    deductions: tuple[Deducted, ...] = ()
    published: datetime | None = None
    published_by: str = ""
    reason: str = ""
    supersedes: str = ""
    superseded_by: str = ""
    because: tuple[LateFact, ...] = ()
    at: datetime | None = None
    cutoff_sequence: int = 0
    state_sequence: int = 0
    sequence: int = 0
    seen: str = ""


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches: the assessment's own, and those it says it supersedes."""
    yield PublishedAssessment, (change.document.dealer, change.document.id)
    for document in (change.before, change.after):
        if old := _superseded(document):
            yield PublishedAssessment, (change.document.dealer, old)


def fold(change: Change, rows: Rows) -> None:
    """Put the assessment as it stands, and say so at the one it supersedes."""
    dealer, assessment = change.document.dealer, change.document.id
    if old := _superseded(change.before):
        rows.edit(PublishedAssessment, dealer, old).superseded_by = ""
    if old := _superseded(change.after):
        rows.edit(PublishedAssessment, dealer, old).superseded_by = assessment
    row = rows.edit(PublishedAssessment, dealer, assessment)
    event = change.after.one(AssessmentPublished) if change.after is not None else None
    said = row_of(dealer, assessment) if event is None else row_of(dealer, assessment, event.data)
    if event is not None:
        said.published, said.published_by = event.time, event.event.actor or ""
        said.sequence = event.sequence
    for name in PublishedAssessment.__struct_fields__[2:]:
        if name != "superseded_by":
            setattr(row, name, getattr(said, name))


def row_of(dealer: str, assessment: str, data: AssessmentPublished | None = None) -> PublishedAssessment:
    """What an assessment says of itself."""
    if data is None:
        return PublishedAssessment(dealer, assessment)
    valid_at = data.valid_at.isoformat().replace("+00:00", "Z")
    card = "/".join([escape(dealer), escape(data.period.name), escape(data.policy)])
    return PublishedAssessment(
        dealer,
        assessment,
        period=data.period.name,
        from_day=business_day(data.period.from_),
        to_day=business_day(data.period.to),
        policy=data.policy,
        version=data.version,
        score=data.score,
        grade=data.grade,
        coverage=data.coverage,
        criteria=data.criteria,
        deductions=data.deductions,
        reason=data.reason or "",
        supersedes=data.supersedes or "",
        because=data.because,
        at=data.valid_at,
        cutoff_sequence=data.cutoff_sequence,
        state_sequence=data.state_sequence,
        seen=f"/assessments/{card}?known_at={data.cutoff_sequence}&valid_at={valid_at}"
        if data.criteria
        else "",
    )


def _superseded(document: Document | None) -> str:
    event = document.one(AssessmentPublished) if document is not None else None
    return (event.data.supersedes or "") if event is not None else ""


PUBLISHED_ASSESSMENTS = Projection(
    name="published_assessments",
    rows=(PublishedAssessment,),
    kinds=frozenset({"assessment"}),
    keys=keys,
    fold=fold,
    modules=("projections.published_assessments",),
)
