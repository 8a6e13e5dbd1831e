"""Stage 0 in memory: the changes that a few events make, as of what was true by an instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.calendar import AHEAD_MAX
from domain.corrections import EventVoided
from domain.envelope import Payload, Recorded
from projections.documents import Change, Document, document, document_key, true_by
from projections.events import EventFlag
from projections.flags import mark
from projections.rows import Rows

Identity = tuple[str, str]


class Replay:
    """What accepted events change, one after the other as the log has them.

    All events of a document must be taken, and the voids that name them; of what else there is nothing is needed.
    With `valid_at`, a statement takes part only if it was true by then. A restatement is as old as what it
    restates, and a void as what it withdraws: both say what was wrong all the time.
    """

    def __init__(self, rows: Rows, valid_at: datetime | None = None) -> None:
        """`rows` take the flags that stage 0 raises."""
        self._rows = rows
        self._valid_at = valid_at
        self._events: dict[Identity, Recorded[Payload]] = {}
        self._voids: dict[Identity, list[Recorded[Payload]]] = {}
        self._statements: dict[tuple[str, str, str], list[Recorded[Payload]]] = {}
        self._documents: dict[tuple[str, str, str], Document | None] = {}

    def take(self, event: Recorded[Payload]) -> Change | None:
        """What the next event changes; None where no document says anything else than before."""
        identity = event.event.source, event.event.id
        self._events[identity] = event
        for void in self._voids.get(identity, ()):
            self._mark(event, void.dealer, "void_of_nothing", _name(event), wrong=False)
            if not _reaches(void, event):
                self._mark(event, void.dealer, "void_of_another_dealer", _name(event))
        if event.time - event.recorded > AHEAD_MAX:
            self._mark(event, event.dealer, "ahead_of_log", str(event.sequence))
        if isinstance(event.data, EventVoided):
            named = event.data.source, event.data.id
            self._voids.setdefault(named, []).append(event)
            withdrawn = self._events.get(named)
            if withdrawn is None:
                self._mark(event, event.dealer, "void_of_nothing", "#".join(named))
                return None
            if not _reaches(event, withdrawn):
                self._mark(event, event.dealer, "void_of_another_dealer", "#".join(named))
                return None
            if (root := self._root(event)) is None:
                return None
            key = document_key(root)
        else:
            key = document_key(event)
            self._statements.setdefault(key, []).append(event)
        before = self._documents.get(key)
        after = document(key, self._true(self._statements[key]))
        if (before.statements if before else ()) == (after.statements if after else ()):
            return None
        self._documents[key] = after
        if not isinstance(event.data, EventVoided):
            earlier = self._earlier(key, before, event)
            first = next((s for s in earlier if s.type == event.type), None)
            if first is not None and first.event.source != event.event.source:
                self._mark(event, event.dealer, "restated_by_another_source", f"{key[0]}/{key[2]}")
        return Change(event, key[0], before, after)

    def _mark(
        self, event: Recorded[Payload], dealer: str, kind: str, subject: str, *, wrong: bool = True
    ) -> None:
        mark(self._rows, EventFlag, event, (dealer, kind, subject), wrong)

    def _true(self, statements: list[Recorded[Payload]]) -> list[Recorded[Payload]]:
        """The statements that stand and were true in time."""
        standing = (
            [statement for statement in statements if self._stands(statement)] if self._voids else statements
        )
        return standing if self._valid_at is None else true_by(standing, self._valid_at)

    def _earlier(
        self, key: tuple[str, str, str], before: Document | None, event: Recorded[Payload]
    ) -> Sequence[Recorded[Payload]]:
        """What was said of a document before an event and stands, whenever it is true."""
        if self._valid_at is None:
            return before.statements if before is not None else ()
        return [one for one in self._statements[key] if one is not event and self._stands(one)]

    def _root(self, event: Recorded[Payload]) -> Recorded[Payload] | None:
        """The event that is no void at the end of a chain of voids, if it has come."""
        seen: set[int] = set()
        while isinstance(event.data, EventVoided):
            named = self._events.get((event.data.source, event.data.id))
            if named is None or event.sequence in seen:
                return None
            seen.add(event.sequence)
            event = named
        return event

    def _stands(self, event: Recorded[Payload]) -> bool:
        """Whether no standing void of the same family and dealer names it. Walked without recursion: it may be deep."""
        found, naming = [event], []
        for named in found:
            about = self._voids.get((named.event.source, named.event.id), ())
            voids = [void for void in about if _reaches(void, named)]
            naming.append([void.sequence for void in voids])
            found.extend(voids)
        standing: dict[int, bool] = {}
        for named, sequences in zip(reversed(found), reversed(naming), strict=True):
            standing[named.sequence] = not any(standing[sequence] for sequence in sequences)
        return standing[event.sequence]


def _name(event: Recorded[Payload]) -> str:
    return f"{event.event.source}#{event.event.id}"


def _reaches(void: Recorded[Payload], event: Recorded[Payload]) -> bool:
    """A void withdraws what stands on its own family and dealer."""
    return (void.family, void.dealer) == (event.family, event.dealer)
