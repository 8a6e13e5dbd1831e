"""Stage 0: a document is what its valid statements say, and a change is the document before and after an event."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct

from domain.catalogue import BY_PAYLOAD, TYPES
from domain.envelope import Payload, Recorded

P = TypeVar("P", bound=Payload)


class Document(Struct, frozen=True, eq=False, gc=False):
    """The statements about one document that stand, by claimed time, then by sequence.

    Hashed by identity, so that what a projection makes of a document can be remembered.
    """

    kind: str
    dealer: str
    id: str
    statements: tuple[Recorded[Payload], ...]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.dealer, self.id

    def one(self, payload: type[P]) -> Recorded[P] | None:
        """The last statement of a type: a later one restates the document whole."""
        for statement in reversed(self.statements):
            if type(statement.data) is payload:
                return statement  # type: ignore[return-value]
        return None

    def first(self, payload: type[P]) -> Recorded[P] | None:
        """The first statement of a type, by claimed time: what later ones restate."""
        for statement in self.statements:
            if type(statement.data) is payload:
                return statement  # type: ignore[return-value]
        return None

    def each(self, payload: type[P]) -> list[Recorded[P]]:
        """The last statement of every slot of a type, by time: receipts of a delivery, intervals of a rep."""
        slot = BY_PAYLOAD[payload].slot
        found: dict[tuple[Any, ...], Recorded[P]] = {}
        for statement in self.statements:
            if type(statement.data) is payload:
                where = tuple([getattr(statement.data, name) for name in slot])
                found.pop(where, None)
                found[where] = statement  # type: ignore[assignment]
        return list(found.values())

    def opened(self, payload: type[P]) -> datetime | None:
        """When the document was first true by a type: a restatement does not move it."""
        times = [s.effective for s in self.statements if type(s.data) is payload]
        return min(times) if times else None


class Change(Struct, frozen=True, eq=False, gc=False):
    """What one event did to one document. The event may be a void, or its withdrawal."""

    event: Recorded[Payload]
    kind: str
    before: Document | None
    after: Document | None

    @property
    def document(self) -> Document:
        """The document on either side, for its key."""
        found = self.after or self.before
        assert found is not None, "a change has at least one side"
        return found


def document_key(recorded: Recorded[Payload]) -> tuple[str, str, str]:
    """(kind, dealer, id): what an event speaks about."""
    entry = TYPES[recorded.type]
    return entry.document, recorded.dealer, recorded.event.subject


def document(key: tuple[str, str, str], statements: Iterable[Recorded[Payload]]) -> Document | None:
    """The document that statements make, in whatever order they come; None where none stands."""
    held = sorted(statements, key=_by_time)
    return Document(*key, tuple(held)) if held else None


def true_by(statements: list[Recorded[Payload]], valid_at: datetime) -> list[Recorded[Payload]]:
    """The statements of a document that were true by an instant: a restatement is as old as what it restates.

    A step (it is amended once more, or held again) restates nothing of the time before it.
    """
    since: dict[tuple[object, ...], datetime] = {}
    for statement in statements:
        slot = slot_of(statement)
        since[slot] = min(since.get(slot, statement.effective), statement.effective)
    return [
        statement
        for statement in statements
        if (statement.effective if BY_PAYLOAD[type(statement.data)].step else since[slot_of(statement)])
        <= valid_at
    ]


def slot_of(statement: Recorded[Payload]) -> tuple[object, ...]:
    """What a statement restates: the statements of its type, or of its slot, of its document."""
    data = statement.data
    return (type(data), *[getattr(data, name) for name in BY_PAYLOAD[type(data)].slot])


def _by_time(statement: Recorded[Payload]) -> tuple[datetime, int]:
    return statement.event.time, statement.sequence
