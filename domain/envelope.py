"""The CloudEvents envelope of every event, and the event as the log recorded it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import Meta, Struct

from domain.calendar import Instant, from_microseconds
from domain.identifiers import Id

Classification = Literal["public", "internal", "confidential", "secret", "top-secret"]


DEPTH_MAX = 32


def shallow(name: str, value: object) -> None:
    """Refuse JSON nested so deeply that comparing or writing it might not end well. Raises ValueError."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEPTH_MAX:
            raise ValueError(f"`{name}` is nested more than {DEPTH_MAX} deep")
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]


class Attachment(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A file that stands behind a fact, named by its hash."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
    name: Annotated[str, Meta(max_length=256)]
    media_type: Annotated[str, Meta(max_length=128)]
    uri: Annotated[str, Meta(max_length=2048)] | None = None


ACTOR_MAX = 256


class Payload(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What an event says. The first field a subclass adds is the id of the document it speaks about."""

    attachments: tuple[Attachment, ...] = ()
    x: dict[str, Any] = {}  # the publisher's own fields: kept, never read


class Envelope(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="type"):
    """A CloudEvents 1.0 event in structured JSON. `catalogue` makes one subclass for every type."""

    specversion: Literal["1.0"]
    id: Id
    source: Annotated[Id, Meta(description="Who publishes; `source` and `id` together identify the event.")]
    subject: Annotated[Id, Meta(description="The id of the document the event speaks about.")]
    time: Annotated[Instant, Meta(description="When it happened, by the publisher's clock.")]
    datacontenttype: Literal["application/json"] | None = None
    dataschema: str | None = None
    recordedtime: Instant | None = None
    correlationid: str | None = None
    causationid: str | None = None
    actor: Annotated[str, Meta(max_length=ACTOR_MAX)] | None = None
    dataclassification: Classification | None = None
    replaces: Annotated[str, Meta(max_length=512, description="`source#id` of a corrected event")] | None = (
        None
    )
    data: Payload


P = TypeVar("P", bound=Payload, covariant=True)


class Recorded(Struct, Generic[P], frozen=True, gc=False):
    """A valid event in its place in the log.

    `dealer` is the subject's dealer, empty where the event has none; `recorded` is the log's own clock.
    """

    sequence: int
    recorded_us: int
    type: str
    family: str
    dealer: str
    event: Envelope
    data: P
    effective: datetime

    @property
    def time(self) -> datetime:
        return self.event.time

    @property
    def recorded(self) -> datetime:
        return from_microseconds(self.recorded_us)
