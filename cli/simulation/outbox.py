"""How the sources publish: mostly in order, sometimes late, twice, wrongly, and then corrected."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Literal

import msgspec

from cli.simulation.tally import Tally
from domain.event_types import CATALOGUE
from domain.identifiers import NO_DEALER, escape

Data = dict[str, object]
Manner = Literal["first", "repeat", "reserialised", "conflict", "invalid"]

LEAD_DAYS = 40  # master data and plans come before the first day
_CLOCK = [f"T{minute // 60:02d}:{minute % 60:02d}:00+08:00" for minute in range(1440)]
_FAMILY = {name: entry.families[0] for name, entry in CATALOGUE.types.items()}
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
        self._tokens = {"": NO_DEALER} | {dealer: escape(dealer) for dealer in dealers}
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
        *,
        source: str,
        dealer: str = "",
        number: str = "1",
        late_days: int = 0,
    ) -> str:
        """Publish a statement about a document and return its event id; what stands in the end is `data`."""
        identity = f"{document}/{_VERB[kind]}/{number}"
        if kind in _CORRECTED:
            correction = None
            if kind == "order.placed.v1":
                self._orders += 1
                correction = _FORCED_CORRECTIONS.get(self._orders)
            if correction or self._random() < _CORRECTED_SHARE:
                return self._correct(correction, kind, document, day, minute, data, source, dealer, identity)
        self._write(kind, document, day, minute, data, source, dealer, identity, late_days=late_days)
        return identity

    def due(self, day: int) -> Iterator[Published]:
        """What is sent on a day, in the order it is sent."""
        for _, _, published in sorted(self._days.pop(day, ()), key=_moment):
            yield published

    def control_totals(self, source: str) -> dict[str, int]:
        """How many events of each type a source has had since this was asked last."""
        return dict(self._since_close.pop(source, ()))

    def is_empty(self) -> bool:
        return not self._days

    def _correct(
        self,
        how: str | None,
        kind: str,
        document: str,
        day: int,
        minute: int,
        data: Data,
        source: str,
        dealer: str,
        identity: str,
    ) -> str:
        if how is None:
            how = self._rng.choice(("restated", "restated", "restated", "voided", "voided", "rebooked"))
        if how == "rebooked" and (kind != "order.placed.v1" or len(self._dealers) < 2):
            how = "voided"
        mistaken, holder = _mistaken(data), dealer
        if how == "rebooked":
            holder = next(other for other in self._rng.sample(self._dealers, 2) if other != dealer)
            mistaken = {**data, "dealer": holder}
            self._tally.rebooked += 1
        self._write(kind, document, day, minute, mistaken, source, holder, identity)
        noticed = minute + 20
        later = self._rng.randrange(1, 4) if self._random() < 0.3 else 0
        right = f"{identity}/corrected"
        if how == "restated":
            self._tally.restated += 1
            self._write(kind, document, day, noticed, data, source, dealer, right, late_days=later)
            return right
        self._tally.voided += 1
        void: Data = {"source": source, "id": identity, "reason": "entered wrongly 錄入錯誤"}
        if holder:
            void["dealer"] = holder
        self._write(
            "event.voided.v1",
            identity,
            day,
            noticed,
            void,
            source,
            holder,
            f"{identity}/voided",
            family=_FAMILY[kind],
            late_days=later,
        )
        self._write(
            kind,
            document,
            day,
            noticed,
            data,
            source,
            dealer,
            right,
            replaces=f"{source}#{identity}",
            late_days=later,
        )
        return right

    def _write(
        self,
        kind: str,
        document: str,
        day: int,
        minute: int,
        data: Data,
        source: str,
        dealer: str,
        identity: str,
        *,
        family: str | None = None,
        replaces: str | None = None,
        late_days: int = 0,
    ) -> None:
        event: Data = {
            "specversion": "1.0",
            "id": identity,
            "source": source,
            "type": kind,
            "subject": document,
            "time": self.dates[day + LEAD_DAYS] + _CLOCK[minute],
            "data": data,
        }
        if replaces is not None:
            event["replaces"] = replaces
        subject = f"channel.{family or _FAMILY[kind]}.{self._tokens[dealer]}"
        published = Published(subject, self._encode(event), source, identity)
        self._count = count = self._count + 1
        self._tally.types[kind] += 1
        self._since_close[source][kind] += 1
        roll = self._random()
        fault = _FORCED_FAULTS.get(count)
        if fault is None and roll < _FAULTS_SHARE:
            fault = next(name for share, name in _FAULTS if roll < share)
        if fault == "late":
            late_days += self._rng.randrange(1, 7)
        self._tally.late += late_days > 0
        sent = minute + count * 7 % 5  # a few minutes: neighbours overtake each other
        self._days[day + late_days].append((sent, count, published))
        if fault is not None and fault != "late":
            self._disturb(fault, published, event, day + late_days, sent)

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
