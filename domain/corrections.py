"""Withdrawing an event. History keeps the event, its withdrawal and its replacement."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from domain.catalogue import FAMILIES, fact
from domain.envelope import Payload
from domain.identifiers import Id


@fact("event.voided.v1", families=FAMILIES, document="void", document_field="id")
class EventVoided(Payload, frozen=True, kw_only=True):
    """The named event is withdrawn (紅沖); published on the family and dealer of what it withdraws."""

    source: Id
    id: Id
    dealer: Id | None = None
    reason: Annotated[str, Meta(max_length=1024)]
