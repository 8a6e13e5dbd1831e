"""Which event types there are, how each is read from bytes, and what is wrong with other bytes."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from domain.envelope import Envelope, Payload, Recorded, shallow
from domain.identifiers import ID_BYTES_MAX, NO_DEALER, escape, flaw, unescape

BODY_BYTES_MAX = 250_000  # the stream takes 256 KiB with headers
FAMILIES = ("orders", "deliveries", "dealers", "promotions", "field", "plans", "decisions")

Effective = Callable[[Any], datetime | None]
P = TypeVar("P", bound=type[Payload])


class EventType(Struct, frozen=True):
    """One entry of the catalogue.

    `document` is the kind of document the event speaks about; its id is the payload's `document_field`.
    Statements of one type about one document restate each other within a `slot`: the values of these fields.
    """

    name: str
    payload: type[Payload]
    envelope: type[Envelope]
    families: tuple[str, ...]
    document: str
    document_field: str
    slot: tuple[str, ...]
    effective: Effective
    has_dealer: bool

    @property
    def of_nobody(self) -> bool:
        """Whether such an event can be published for no dealer."""
        return not self.has_dealer or not _field(self.payload, "dealer").required


class Reason(Struct, frozen=True):
    """One thing that is wrong, and where: `field` is a path from the event's root."""

    field: str
    reason: str


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
            effective=effective,
            has_dealer="dealer" in payload.__struct_fields__,
        )
        if name in TYPES or not set(families) <= set(FAMILIES):
            raise ValueError(f"{name}: entered twice, or under an unknown family")
        TYPES[name] = BY_PAYLOAD[payload] = entry
        return payload

    return enter


def _field(struct: type[Struct], name: str) -> msgspec.structs.FieldInfo:
    return next(field for field in msgspec.structs.fields(struct) if field.name == name)


def _attribute(payload: type[Payload], wire: str) -> str:
    return payload.__struct_fields__[payload.__struct_encode_fields__.index(wire)]


class Upcaster(Struct, frozen=True):
    """A pure step from an older type to the next: `change` takes and gives the decoded `data`."""

    old: str
    new: str
    change: Callable[[dict[str, Any]], dict[str, Any]]


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
        data = event.data
        reasons = []
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
        if not (as_sent and _ids_are_sound(body)):
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
            reasons += [r for r in flaws(Envelope, envelope, "") if r.field not in ("type", "data")]
            raise Rejected("not_understood" if len(reasons) == 1 else "invalid", reasons)
        wanted = self.types[name].envelope
        try:
            return msgspec.convert(raw, wanted)
        except (msgspec.ValidationError, RecursionError) as error:
            found = list(flaws(wanted, raw, ""))
            raise Rejected("invalid", found or [Reason("(body)", str(error))]) from None


def flaws(kind: Any, raw: Any, path: str) -> Iterator[Reason]:
    """Find every field of decoded JSON that does not fit a type, each under its own path."""
    struct, item = _shape(kind, raw)
    if struct is not None and isinstance(raw, dict):
        missing = False
        for field in msgspec.structs.fields(struct):
            where = f"{path}.{field.encode_name}" if path else field.encode_name
            if field.encode_name in raw:
                yield from flaws(field.type, raw[field.encode_name], where)
            elif field.required:
                missing = True
                yield Reason(where, "is missing")
        if not missing:
            yield from _post_init_flaw(struct, raw, path)
    elif item is not None and isinstance(raw, list):
        for number, value in enumerate(raw):
            yield from flaws(item, value, f"{path}[{number}]")
        if not raw:
            yield from _leaf_flaw(kind, raw, path)
    else:
        yield from _leaf_flaw(kind, raw, path)


def _leaf_flaw(kind: Any, raw: Any, path: str) -> Iterator[Reason]:
    try:
        msgspec.convert(raw, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        message, _, at = str(error).partition(" - at `")
        yield Reason(path + at.strip("$`"), message.replace("got `decimal`", "got `float`"))


def _post_init_flaw(struct: type[Struct], raw: dict[str, Any], path: str) -> Iterator[Reason]:
    """A rule of the Struct as a whole, where its fields by themselves are right."""
    if issubclass(struct, Envelope):
        return
    try:
        msgspec.convert(raw, struct)
    except (msgspec.ValidationError, RecursionError) as error:
        message, _, at = str(error).partition(" - at `")
        if not at and message.startswith("`"):
            field, _, rest = message[1:].partition("` ")
            yield Reason(f"{path}.{field}" if path else field, rest)


def _shape(kind: Any, raw: Any) -> tuple[type[Struct] | None, Any]:
    """What a type annotation holds: a Struct, or the items of a sequence, or neither.

    Of several Structs it is the one whose tag the JSON names.
    """
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        options = [found for option in get_args(kind) if (found := _shape(option, raw)) != (None, None)]
        if len(options) > 1:
            options = [(struct, None) for struct, _ in options if struct and _is_tagged(struct, raw)]
        if options:
            return options[0]
    elif origin in (tuple, list):
        return None, get_args(kind)[0]
    elif isinstance(kind, type) and issubclass(kind, Struct):
        return kind, None
    return None, None


def _is_tagged(struct: Any, raw: Any) -> bool:
    config = getattr(struct, "__struct_config__", None)
    return (
        config is not None
        and isinstance(raw, dict)
        and config.tag is not None
        and raw.get(config.tag_field) == config.tag
    )


#: Bytes of JSON that may be a control character, a surrogate, or the inside of a string that goes on.
_SUSPICIOUS = re.compile(rb'\x7f|\\(?:["bfnrt]|u00[01]|u007[fF]|u[dD][89a-fA-F])')


def _ids_are_sound(body: bytes) -> bool:
    """Whether no string of a body could break the rules of ids, seen from its bytes alone: most can be."""
    if body.isascii() and b"\\" not in body and b"\x7f" not in body:
        return True
    return not _SUSPICIOUS.search(body) and max(map(len, body.split(b'"'))) <= ID_BYTES_MAX


def id_flaws(value: Struct, path: str) -> Iterator[Reason]:
    """Find every string in an event that no id may be: too many bytes, control characters."""
    for name, wire, is_id in _members(type(value)):
        found = getattr(value, name)
        if found:
            yield from _id_flaws_in(found, is_id, f"{path}.{wire}" if path else wire)


def _id_flaws_in(found: Any, is_id: bool, path: str) -> Iterator[Reason]:
    if isinstance(found, Struct):
        yield from id_flaws(found, path)
    elif isinstance(found, tuple):
        for number, item in enumerate(found):
            yield from _id_flaws_in(item, is_id, f"{path}[{number}]")
    elif isinstance(found, dict):
        for key, item in found.items():
            yield from _id_flaws_in(key, is_id, path)
            yield from _id_flaws_in(item, is_id, f"{path}.{key}")
    elif is_id and isinstance(found, str) and (reason := flaw(found)):
        yield Reason(path, reason)


@functools.cache
def _members(struct: type[Struct]) -> tuple[tuple[str, str, bool], ...]:
    """Attribute, wire name and whether it holds ids, of the fields that ids can be in.

    Reflection at every event would cost a hundred times the decoding of a body that is not plain ASCII.
    """
    return tuple(
        (field.name, field.encode_name, _is_id(field.type))
        for field in msgspec.structs.fields(struct)
        if _is_id(field.type) or _holds_struct(field.type)
    )


def _holds_struct(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return True
    return any(
        _holds_struct(inner) for inner in (*get_args(kind), getattr(kind, "__origin__", None)) if inner
    )


def _is_id(kind: Any) -> bool:
    if any((meta.extra or {}).get("id") for meta in getattr(kind, "__metadata__", ())):
        return True
    return any(_is_id(inner) for inner in (*get_args(kind), getattr(kind, "__origin__", None)) if inner)


def unknown_members(kind: type[Struct], raw: Any) -> list[str]:
    """Name the members of a body that its type does not know, so that a misspelt field does not vanish."""
    return [path.removeprefix(".") for path in _struct_walk(kind)(raw)]


Walk = Callable[[Any], Sequence[str]]


def _walk(kind: Any) -> Walk | None:
    """What finds unknown members in the JSON of a type; None where the type has no members."""
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        walks = {option: walk for option in get_args(kind) if (walk := _walk(option)) is not None}
        if len(walks) < 2:
            return next(iter(walks.values()), None)
        return lambda raw: next((walk(raw) for option, walk in walks.items() if _is_tagged(option, raw)), ())
    if origin in (tuple, list):
        item = _walk(get_args(kind)[0])
        return None if item is None else functools.partial(_items, item)
    return _struct_walk(kind) if isinstance(kind, type) and issubclass(kind, Struct) else None


def _items(walk: Walk, raw: Any) -> Sequence[str]:
    if not isinstance(raw, list):
        return ()
    found: list[str] = []
    for number, value in enumerate(raw):
        if more := walk(value):
            found += [f"[{number}]{path}" for path in more]
    return found


@functools.cache
def _struct_walk(struct: type[Struct]) -> Walk:
    """Made once for a Struct: reflection costs 0.1 ms, and an event has a dozen of them."""
    walks = {field.encode_name: _walk(field.type) for field in msgspec.structs.fields(struct)}
    inner = [(name, walk) for name, walk in walks.items() if walk is not None]
    known = {*walks, struct.__struct_config__.tag_field}

    def walk(raw: Any) -> Sequence[str]:
        if not isinstance(raw, dict):
            return ()
        found = () if known.issuperset(raw) else tuple([f".{name}" for name in raw if name not in known])
        for name, within in inner:
            if name in raw and (more := within(raw[name])):
                found += tuple([f".{name}{path}" for path in more])
        return found

    return walk
