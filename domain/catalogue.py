"""Which event types there are, how each is read from bytes, and what is wrong with other bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, TypeVar, Union, cast

import msgspec
from msgspec import Struct

from domain.envelope import Envelope, Payload, Recorded, shallow
from domain.flaws import Reason, flaws, id_flaws, ids_are_sound, nul_flaws
from domain.identifiers import NO_DEALER, escape, unescape

BODY_BYTES_MAX = 250_000  # the stream takes 256 KiB with headers
REASONS_MAX = 100  # that are told of one event
FAMILIES = ("orders", "deliveries", "dealers", "promotions", "field", "plans", "decisions")

Effective = Callable[[Any], datetime | None]
P = TypeVar("P", bound=type[Payload])


class EventType(Struct, frozen=True):
    """One entry of the catalogue.

    `document` is the kind of document the event speaks about; its id is the payload's `document_field`.
    Statements of one type about one document restate each other within a `slot`: the values of these fields. What is
    restated was wrong from the beginning, unless the type is a `step`: then each is true from its own time on.
    """

    name: str
    payload: type[Payload]
    envelope: type[Envelope]
    families: tuple[str, ...]
    document: str
    document_field: str
    slot: tuple[str, ...]
    step: bool
    effective: Effective
    has_dealer: bool


class Rejected(Exception):
    """The bytes are not a valid event. `code` is `invalid` or `not_understood`."""

    def __init__(self, code: str, reasons: Sequence[Reason]) -> None:
        super().__init__("; ".join(f"{r.field}: {r.reason}" for r in reasons))
        self.code = code
        self.reasons = tuple(reasons)


#: Decimals stay exact on the way through an upcaster.
_JSON: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)

TYPES: dict[str, EventType] = {}
BY_PAYLOAD: dict[type[Payload], EventType] = {}


def fact(
    name: str,
    *,
    families: tuple[str, ...],
    document: str | None = None,
    document_field: str | None = None,
    slot: tuple[str, ...] = (),
    step: bool = False,
    effective: Effective = lambda data: None,
) -> Callable[[P], P]:
    """Enter a payload into the catalogue under its wire name.

    `effective` reads from the payload when the fact is true; where it gives None the envelope's time holds.
    """

    def enter(payload: P) -> P:
        first = document_field or payload.__struct_encode_fields__[len(Payload.__struct_fields__)]
        envelope = msgspec.defstruct(
            payload.__name__ + "Event",
            [("data", payload)],
            bases=(Envelope,),
            tag=name,
            tag_field="type",
            frozen=True,
            kw_only=True,
            omit_defaults=True,
            module=payload.__module__,
        )
        entry = EventType(
            name=name,
            payload=payload,
            envelope=cast(type[Envelope], envelope),
            families=families,
            document=document or first,
            document_field=_attribute(payload, first),
            slot=tuple(_attribute(payload, field) for field in slot),
            step=step,
            effective=effective,
            has_dealer="dealer" in payload.__struct_fields__,
        )
        if name in TYPES or not set(families) <= set(FAMILIES):
            raise ValueError(f"{name}: entered twice, or under an unknown family")
        TYPES[name] = BY_PAYLOAD[payload] = entry
        return payload

    return enter


def _attribute(payload: type[Payload], wire: str) -> str:
    return payload.__struct_fields__[payload.__struct_encode_fields__.index(wire)]


class Upcaster(Struct, frozen=True):
    """A pure step from an older type to the next: `change` takes and gives the decoded `data`."""

    old: str
    new: str
    change: Callable[[dict[str, Any]], dict[str, Any]]


def _some(reasons: Iterator[Reason]) -> list[Reason]:
    """The first of them: an event may be wrong in every line of thousands."""
    found = list(islice(reasons, REASONS_MAX))
    if next(reasons, None) is not None:
        found.append(Reason("(body)", f"has more that is wrong: the first {REASONS_MAX} are named"))
    return found


def _refuse_other_than_utf8(body: bytes) -> None:
    """Members that nobody knows are passed over when a body is decoded, whatever bytes they have; texts are kept."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise Rejected("invalid", [Reason("(body)", f"is not UTF-8: {error}")]) from None


class Catalogue:
    """Reads bytes of the log. Made once, after all types are entered; a broken upcaster chain stops it."""

    def __init__(self, types: dict[str, EventType], upcasters: Sequence[Upcaster] = ()) -> None:
        self.types = dict(types)
        self.upcasters = {step.old: step for step in upcasters}
        for step in upcasters:
            if step.old in self.types or self.upcasters[step.old] is not step:
                raise ValueError(f"{step.old} is still in the catalogue, or has two upcasters")
            seen = {step.old}
            while step.new in self.upcasters and step.new not in seen:
                seen.add(step.new)
                step = self.upcasters[step.new]
            if step.new in seen or step.new not in self.types:
                raise ValueError(
                    f"the upcaster chain from {step.old} does not end at a known type: {step.new}"
                )
        self._decoder: msgspec.json.Decoder[Envelope] = msgspec.json.Decoder(
            Union[tuple(entry.envelope for entry in self.types.values())]  # noqa: UP007
        )
        self._by_envelope = {entry.envelope: entry for entry in self.types.values()}
        self._subjects: dict[str, tuple[str, str]] = {}

    def read(self, sequence: int, recorded_ns: int, subject: str, body: bytes) -> Recorded[Payload]:
        """Decode one message of the log into its event. Raises Rejected with every reason found."""
        as_sent = True
        try:
            event = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            event, as_sent = self._second_look(body), False
        entry = self._by_envelope[type(event)]
        data = event.data
        family, dealer = self._subject(subject)
        if (
            family not in entry.families
            or dealer != ((data.dealer or "") if entry.has_dealer else "")  # type: ignore[attr-defined]
            or event.subject != getattr(data, entry.document_field)
            or data.x
            or not (body.isascii() and b"\\" not in body and b"\x7f" not in body)
            or len(body) > BODY_BYTES_MAX
        ):
            self._check(entry, event, family, dealer, body, as_sent)
        return Recorded(
            sequence,
            recorded_ns // 1000,
            entry.name,
            family,
            dealer,
            event,
            data,
            entry.effective(data) or event.time,
        )

    def subject_for(self, event: Envelope, family: str | None = None) -> str:
        """The subject a valid event is published on: of a type's families the first, unless one is named."""
        entry = self._by_envelope[type(event)]
        dealer = getattr(event.data, "dealer", None)
        return f"channel.{family or entry.families[0]}.{escape(dealer) if dealer else NO_DEALER}"

    def parse(self, body: bytes) -> Envelope:
        """The envelope alone, upcast where it is old. Raises Rejected with every reason found."""
        try:
            return self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._second_look(body)

    def decode(self, body: bytes) -> Envelope:
        """Decode a body that has no place in the log yet. Raises Rejected with every reason found."""
        as_sent = True
        try:
            event = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            event, as_sent = self._second_look(body), False
        entry = self._by_envelope[type(event)]
        dealer = (getattr(event.data, "dealer", None) or "") if entry.has_dealer else ""
        self._check(entry, event, entry.families[0], dealer, body, as_sent)
        return event

    def entry(self, event: Envelope) -> EventType:
        """The catalogue's entry of a decoded event."""
        return self._by_envelope[type(event)]

    def _subject(self, subject: str) -> tuple[str, str]:
        known = self._subjects.get(subject)
        if known is None:
            try:
                _, family, token = subject.split(".")
                known = family, "" if token == NO_DEALER else unescape(token)
            except ValueError:
                raise Rejected(
                    "invalid", [Reason("(subject)", f"{subject!r} is not channel.<family>.<dealer>")]
                ) from None
            if len(self._subjects) < 100_000:
                self._subjects[subject] = known
        return known

    def _check(
        self, entry: EventType, event: Envelope, family: str, dealer: str, body: bytes, as_sent: bool
    ) -> None:
        if not body.isascii():
            _refuse_other_than_utf8(body)
        data = event.data
        reasons = [*nul_flaws(event)] if b"\\u0000" in body else []
        if len(body) > BODY_BYTES_MAX:
            reasons.append(Reason("(body)", f"is {len(body)} bytes; at most {BODY_BYTES_MAX} are taken"))
        if family not in entry.families:
            reasons.append(
                Reason("type", f"{entry.name} belongs on {' or '.join(entry.families)}, not on {family!r}")
            )
        said = (getattr(data, "dealer", None) or "") if entry.has_dealer else ""
        if dealer != said:
            reasons.append(
                Reason("data.dealer", f"is {said!r}, but the subject was published for {dealer!r}")
            )
        document = getattr(data, entry.document_field)
        if event.subject != document:
            reasons.append(Reason("subject", f"is {event.subject!r}, but `data` speaks about {document!r}"))
        if data.x:
            try:
                shallow("data.x", data.x)
            except ValueError as error:
                reasons.append(Reason("data.x", str(error).partition("` ")[2]))
        if not (as_sent and ids_are_sound(body)):
            reasons.extend(id_flaws(event, ""))
        if reasons:
            raise Rejected("invalid", reasons)

    def _second_look(self, body: bytes) -> Envelope:
        """Upcast an old type, or find every reason why the bytes are no event."""
        if len(body) > BODY_BYTES_MAX:
            raise Rejected(
                "invalid",
                [Reason("(body)", f"is {len(body)} bytes; at most {BODY_BYTES_MAX} are taken")],
            )
        try:
            raw = _JSON.decode(body)
        except msgspec.ValidationError as error:
            raise Rejected("invalid", [Reason("(body)", f"holds a number too large: {error}")]) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Rejected("invalid", [Reason("(body)", f"is not JSON: {error}")]) from None
        except RecursionError:
            raise Rejected("invalid", [Reason("(body)", "is nested too deeply")]) from None
        if not isinstance(raw, dict):
            raise Rejected("invalid", [Reason("(body)", "is not a JSON object")])
        name = raw.get("type")
        if not isinstance(name, str):
            raise Rejected("invalid", [Reason("type", "is missing or not a string")])
        while (step := self.upcasters.get(name)) is not None:
            try:
                raw = {**raw, "type": step.new, "data": step.change(raw["data"])}
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                raise Rejected("invalid", [Reason("data", f"is not a {name}: {error}")]) from None
            name = step.new
        if name not in self.types:
            envelope = {**raw, "type": "", "data": {}}
            reasons = [Reason("type", f"{name!r} is not in the catalogue: see GET /schemas")]
            reasons += [r for r in _some(flaws(Envelope, envelope, "")) if r.field not in ("type", "data")]
            raise Rejected("not_understood" if len(reasons) == 1 else "invalid", reasons)
        wanted = self.types[name].envelope
        try:
            return msgspec.convert(raw, wanted)
        except (msgspec.ValidationError, RecursionError) as error:
            found = _some(flaws(wanted, raw, ""))
            raise Rejected("invalid", found or [Reason("(body)", str(error))]) from None
