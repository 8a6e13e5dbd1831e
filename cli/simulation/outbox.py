"""How the sources publish: mostly in order, sometimes late, twice, wrongly, and then corrected."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from random import Random
from typing import Literal

import msgspec
from msgspec.structs import replace

from cli.simulation.tally import Tally
from cli.simulation.world import Dealer
from domain.event_types import CATALOGUE
from domain.identifiers import NO_DEALER, escape

Data = dict[str, object]
Manner = Literal["first", "repeat", "reserialised", "conflict", "invalid"]

PLANNER, WAREHOUSE, FIELD = "plans", "wms.01", "fieldapp"
_VOID = "event.voided.v1"
LEAD_DAYS = 40  # master data and plans come before the first day
_CLOCK = [f"T{minute // 60:02d}:{minute % 60:02d}:00+08:00" for minute in range(1440)]
_FAMILY = {name: entry.families[0] for name, entry in CATALOGUE.types.items()}
_FIELD = {
    name: entry.payload.__struct_encode_fields__[entry.payload.__struct_fields__.index(entry.document_field)]
    for name, entry in CATALOGUE.types.items()
}
_VERB = {name: name.split(".")[1] for name in _FAMILY}
#: A first statement of these is sometimes mistaken, and then restated or withdrawn.
_CORRECTED = frozenset(
    [
        "order.placed.v1",
        "delivery.dispatched.v1",
        "delivery.received.v1",
        "invoice.issued.v1",
        "stock.moved.v1",
        "stock.counted.v1",
        "sellout.reported.v1",
    ]
)
_CORRECTIONS = ("restated", "restated", "restated", "voided", "voided", "rebooked")
_CORRECTED_SHARE = 0.008
#: Shares of all events, cumulated.
_FAULTS = (
    (0.005, "late"),
    (0.009, "repeat"),
    (0.012, "reserialised"),
    (0.0125, "conflict"),
    (0.013, "invalid"),
)
_FAULTS_SHARE = _FAULTS[-1][0]
#: So that a short stream shows every fault too: these numbers of the stream are faulty in any case.
_FORCED_FAULTS = {
    300: "late",
    350: "repeat",
    400: "reserialised",
    450: "conflict",
    **dict.fromkeys(range(500, 750, 50), "invalid"),
}
_FORCED_CORRECTIONS = {5: "restated", 8: "voided", 11: "rebooked"}  # of orders


class Published(msgspec.Struct, frozen=True, gc=False):
    """One message as its source sends it; `manner` is what the maker knows of it and the reader does not."""

    subject: str
    body: bytes
    source: str
    id: str
    manner: Manner = "first"


class Statement(msgspec.Struct, frozen=True, gc=False):
    """What a source says of a document at a day and minute, and how late it says so."""

    kind: str
    document: str
    id: str
    day: int
    minute: int
    data: Data
    dealer: str
    source: str
    late_days: int


class Outbox:
    """Holds what is to be sent, by day and minute, and adds the faults of real publishers."""

    def __init__(self, rng: Random, tally: Tally, first_day: date, dealers: list[str]) -> None:
        self.dates = [
            (first_day + timedelta(days=n - LEAD_DAYS)).isoformat() for n in range(LEAD_DAYS + 4000)
        ]
        self._random = rng.random
        self._rng = rng
        self._tally = tally
        self._dealers = dealers
        self._days: defaultdict[int, list[tuple[int, int, Published]]] = defaultdict(list)
        self._count = 0
        self._orders = 0
        self._since_close: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._encode = msgspec.json.Encoder().encode

    def at(self, day: int, minute: int = 0) -> str:
        """The instant of a day and minute, in the offset of China."""
        return self.dates[day + LEAD_DAYS] + _CLOCK[minute]

    def window(self, day: int, end: int) -> Data:
        """From the beginning of a day up to that of another."""
        return {
            "from": self.dates[day + LEAD_DAYS] + _CLOCK[0],
            "to": self.dates[end + LEAD_DAYS] + _CLOCK[0],
        }

    def send(
        self,
        kind: str,
        document: str,
        day: int,
        minute: int,
        data: Data,
        dealer: Dealer | None = None,
        *,
        source: str | None = None,
        number: str = "1",
        late_days: int = 0,
    ) -> None:
        """Publish a statement about a document of a dealer; what stands in the end is `data`.

        The ids of document and dealer are entered here. A dealer's ERP speaks where no other source is named.
        """
        data = {_FIELD[kind]: document, **data}
        if dealer is not None:
            data["dealer"] = dealer.id
        said = Statement(
            kind,
            document,
            f"{document}/{_VERB[kind]}/{number}",
            day,
            minute,
            data,
            dealer.id if dealer is not None else "",
            source or (dealer.erp if dealer is not None else PLANNER),
            late_days,
        )
        if kind in _CORRECTED:
            forced = None
            if kind == "order.placed.v1":
                self._orders += 1
                forced = _FORCED_CORRECTIONS.get(self._orders)
            if forced or self._random() < _CORRECTED_SHARE:
                return self._correct(said, forced or self._rng.choice(_CORRECTIONS))
        self._write(said)

    def due(self, day: int) -> Iterator[Published]:
        """What is sent on a day, in the order it is sent."""
        for _, _, published in sorted(self._days.pop(day, ()), key=_moment):
            yield published

    def control_totals(self, source: str) -> dict[str, int]:
        """How many events of each type a source has had since this was asked last."""
        return dict(self._since_close.pop(source, ()))

    def is_empty(self) -> bool:
        return not self._days

    def _correct(self, right: Statement, how: str) -> None:
        """Say it wrongly first, and let what is right follow: as a restatement, or by red and blue ink."""
        if how == "rebooked" and (right.kind != "order.placed.v1" or len(self._dealers) < 2):
            how = "voided"
        wrong = replace(right, data=_mistaken(right.data))
        if how == "rebooked":
            holder = next(other for other in self._rng.sample(self._dealers, 2) if other != right.dealer)
            wrong = replace(right, data={**right.data, "dealer": holder}, dealer=holder)
            self._tally.rebooked += 1
        self._write(wrong)
        later = self._rng.randrange(1, 4) if self._random() < 0.3 else 0
        right = replace(right, id=f"{right.id}/corrected", minute=right.minute + 20, late_days=later)
        if how == "restated":
            self._tally.restated += 1
            return self._write(right)
        self._tally.voided += 1
        void: Data = {"source": wrong.source, "id": wrong.id, "reason": "entered wrongly 錄入錯誤"}
        if wrong.dealer:
            void["dealer"] = wrong.dealer
        withdrawn = replace(
            right, kind=_VOID, document=wrong.id, id=f"{wrong.id}/voided", data=void, dealer=wrong.dealer
        )
        self._write(withdrawn, family=_FAMILY[right.kind])
        self._write(right, replaces=f"{wrong.source}#{wrong.id}")

    def _write(self, said: Statement, *, family: str | None = None, replaces: str | None = None) -> None:
        kind, source = said.kind, said.source
        event: Data = {
            "specversion": "1.0",
            "id": said.id,
            "source": source,
            "type": kind,
            "subject": said.document,
            "time": self.dates[said.day + LEAD_DAYS] + _CLOCK[said.minute],
            "data": said.data,
        }
        if replaces is not None:
            event["replaces"] = replaces
        subject = f"channel.{family or _FAMILY[kind]}.{_token(said.dealer)}"
        published = Published(subject, self._encode(event), source, said.id)
        self._count = count = self._count + 1
        self._tally.types[kind] += 1
        self._since_close[source][kind] += 1
        roll = self._random()
        fault = _FORCED_FAULTS.get(count)
        if fault is None and roll < _FAULTS_SHARE:
            fault = next(name for share, name in _FAULTS if roll < share)
        late_days = said.late_days
        if fault == "late":
            late_days += self._rng.randrange(1, 7)
        self._tally.late += late_days > 0
        sent = said.minute + count * 7 % 5  # a few minutes: neighbours overtake each other
        self._days[said.day + late_days].append((sent, count, published))
        if fault is not None and fault != "late":
            self._disturb(fault, published, event, said.day + late_days, sent)

    def _disturb(self, fault: str, published: Published, event: Data, day: int, sent: int) -> None:
        after = sent + self._rng.randrange(5, 300)
        if self._random() < 0.2:
            day, after = day + self._rng.randrange(1, 10), self._rng.randrange(480, 1200)
        subject, body, identity, manner = published.subject, published.body, published.id, fault
        if fault == "repeat":
            self._tally.repeats += 1
        elif fault == "reserialised":
            self._tally.reserialised += 1
            data = event["data"]
            assert isinstance(data, dict)
            turned = {name: event[name] for name in reversed(event)} | {
                "data": {name: data[name] for name in reversed(data)}
            }
            body = json.dumps(turned, indent=1).encode()
        elif fault == "conflict":
            self._tally.conflicts += 1
            data = event["data"]
            assert isinstance(data, dict)
            body = self._encode({**event, "data": _mistaken(data)})
        else:
            self._tally.invalid += 1
            identity = f"{identity}/draft"
            subject, body = self._spoil({**event, "id": identity}, subject)
        self._count += 1
        message = Published(subject, body, published.source, identity, manner)  # type: ignore[arg-type]
        self._days[day].append((after, self._count, message))

    def _spoil(self, event: Data, subject: str) -> tuple[str, bytes]:
        """Make what no reader may take for an event, in one of five ways."""
        way = self._tally.invalid % 5
        if way == 0:
            return subject, self._encode(event)[:-7]
        if way == 1:
            return subject, self._encode({**event, "type": "order.shipped.v9"})
        if way == 2:
            return subject, self._encode({**event, "time": str(event["time"])[:19]})
        if way == 3:
            return subject, self._encode({**event, "data": {}})
        _, _, dealer = subject.split(".")
        return f"channel.decided.{dealer}", self._encode(event)


@cache
def _token(dealer: str) -> str:
    return escape(dealer) if dealer else NO_DEALER


def _moment(item: tuple[int, int, Published]) -> tuple[int, int]:
    return item[:2]


def _mistaken(data: Data) -> Data:
    """The same statement with other content: a wrong figure where it has lines."""
    lines = data.get("lines")
    if not isinstance(lines, list) or not lines:
        return {**data, "x": {"note": "sent twice with other content"}}
    first = lines[0]
    name = "accepted" if "accepted" in first else "quantity"
    if name not in first:
        return {**data, "x": {"note": "sent twice with other content"}}
    figure = first[name]
    wrong = figure + 10 if isinstance(figure, int) else str(int(figure) + 10)
    return {**data, "lines": [{**first, name: wrong}, *lines[1:]]}
