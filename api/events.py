"""The addresses of events: sending them, looking at one, and asking what became of an identity."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import IO
from urllib.parse import urlencode

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler, get, post
from litestar.response import Stream
from msgspec import Raw, Struct

from api import bodies, pages
from api.accepting import HTML, prefers_html
from api.asking import Freshness
from api.fields import instant_text, read_integer
from api.index import Arrival, Index
from api.intake import Entry, Intake, too_large
from api.link import Link
from api.problems import AnyRequest, FieldProblem, Problem
from api.query import parameters, read_query
from api.views import View, plural, token
from domain.calendar import from_nanoseconds
from domain.catalogue import FAMILIES
from infra.documents import subject_said
from infra.lookups import read_one
from infra.message import Message
from projections.events import EventRow

SPOOL_BYTES = 1_048_576
PENDING = "pending"  # what the index has not come to yet


class Answers(Struct, frozen=True):
    """What became of the events of a batch, in order."""

    items: list[Entry]


class EventAnswer(Struct, frozen=True, kw_only=True):
    """One message of the log: the event as it was stored, and what became of it.

    `event` is null where the bytes are not JSON; then `bytes` has them in base64. Both are null where a message was not
    taken and the service has no log. `status` is `pending` where the index has not come so far.
    """

    sequence: int
    status: str
    recorded: datetime | None
    family: str
    dealer: str
    type: str
    source: str
    id: str
    kind: str
    document: str
    time: datetime | None
    effective: datetime | None
    of: int
    reasons: tuple[FieldProblem, ...]
    event: Raw | None
    bytes: str | None = None


class ReceiptAnswer(Struct, frozen=True):
    """Every message seen under an identity. `sequence` is where it was accepted; null where it never was."""

    source: str
    id: str
    sequence: int | None
    visible: bool
    messages: list[Arrival]


def event_handlers(
    intake: Intake, index: Index, link: Link, views: Mapping[str, View], freshness: Freshness
) -> list[HTTPRouteHandler]:
    """POST /events, GET /events/<sequence> and GET /receipts."""

    @post("/events", name="send events", request_max_body_size=None, status_code=200)
    async def send(request: AnyRequest) -> Response[bytes] | Stream:
        family = _family(request)
        said = bodies.media_type(request)
        if bodies.is_binary(request.headers):
            data = await bodies.whole(request, bodies.REQUEST_BYTES_MAX)
            return await _send_one(intake, bodies.structured(request.headers, said, data), family)
        if said in bodies.LINES:
            return await _send_lines(intake, request, family)
        if said not in bodies.TAKEN:
            there = ", ".join(bodies.TAKEN)
            raise Problem("unsupported_media_type", f"{said or 'no media type'} is not taken; send {there}")
        body = await bodies.whole(request)
        if said == bodies.BATCH or (said == bodies.JSON and body.lstrip(b" \t\r\n")[:1] == b"["):
            return await _send_batch(intake, body, family)
        return await _send_one(intake, body, family)

    @get("/events/{sequence:str}", name="one event")
    async def one_event(request: AnyRequest) -> Response[bytes]:
        try:
            sequence = read_integer(str(request.path_params["sequence"]))
        except ValueError as error:
            raise Problem("not_found", f"an event's address ends in its sequence, which {error}") from None
        row, reasons, reached = await asyncio.to_thread(index.event, sequence)
        message = None
        as_sent = bodies.EVENT in request.headers.get("accept", "")
        if row is None or not (row.body or (link.absent and not as_sent)):
            message = await read_one(link.client, sequence) if sequence > 0 else None
        if row is None and message is None:
            raise Problem("no_such_row", f"the log has no message {sequence}; the index is at {reached}")
        return _one_event(request, row, reasons, message, reached, views)

    @get("/receipts", name="receipts")
    async def receipts(request: AnyRequest) -> Response[bytes]:
        said = parameters(request.scope["query_string"])
        named = [(name, value) for name, value in said if name in ("source", "id")]
        query = read_query(views["events"], [pair for pair in said if pair not in named], one_row=True)
        values = dict(named)
        missing = [(name, "is missing") for name in ("source", "id") if not values.get(name)]
        if missing or len(named) > 2:
            raise Problem("bad_parameter", "name one source and one id", missing)
        source, id = values["source"], values["id"]
        await freshness.wait(views["events"], query)
        holder, arrivals = await asyncio.to_thread(index.arrivals, source, id)
        if not arrivals:
            raise Problem("not_seen", f"{source}#{id} is not seen yet", source=source, id=id)
        visible = all(arrival.visible for arrival in arrivals)
        answer = ReceiptAnswer(source, id, holder.sequence if holder else None, visible, arrivals)
        return _json(answer, 200)

    return [send, one_event, receipts]


def _family(request: AnyRequest) -> str:
    said = parameters(request.scope["query_string"])
    wrong = [(name, "is not known here; there is: family") for name, _ in said if name != "family"]
    wrong += [
        ("family", f"must be one of {', '.join(FAMILIES)}")
        for n, v in said
        if n == "family" and v not in FAMILIES
    ]
    if wrong or len(said) > 1:
        raise Problem("bad_parameter", "POST /events takes `family` alone, once", wrong)
    return said[0][1] if said else ""


async def _send_one(intake: Intake, body: bytes, family: str) -> Response[bytes]:
    """201 accepted, 200 duplicate, else the problem: 409, 413, 422 or 503."""
    [entry] = await intake.take([body], family)
    if entry.problem is not None:
        headers = {"Retry-After": "1"} if entry.status == "retry" else {}
        return Response(
            msgspec.json.encode(entry.problem),
            status_code=entry.problem.status,
            media_type="application/problem+json",
            headers=headers,
        )
    headers = {"Location": f"/events/{entry.sequence}"}
    return _json(entry, 201 if entry.status == "accepted" else 200, headers)


async def _send_batch(intake: Intake, body: bytes, family: str) -> Response[bytes]:
    events = await asyncio.to_thread(bodies.elements, body)
    entries: list[Entry] = []
    for begin in range(0, len(events), bodies.CHUNK_EVENTS_MAX):
        entries += await intake.take(events[begin : begin + bodies.CHUNK_EVENTS_MAX], family)
    status = _status({entry.status for entry in entries})
    return _json(Answers(entries), status, {"Retry-After": "1"} if status == 503 else {})


def _status(found: set[str]) -> int:
    """200 where all are in the log, 503 where the log took none of them and may later, else 207."""
    if found <= {"accepted", "duplicate"}:
        return 200
    return 503 if found == {"retry"} else 207


async def _send_lines(intake: Intake, request: AnyRequest, family: str) -> Stream:
    """Answers are kept aside until the request has ended: a client that writes first and reads then must not hang."""
    spool = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - closed when it is sent
    found: set[str] = set()
    try:
        async for group in bodies.chunks(request.stream()):
            entries = iter(await intake.take([event for event in group if event is not None], family))
            for event in group:
                entry = (
                    next(entries)
                    if event is not None
                    else Entry("invalid", None, "", "", (), too_large().document)
                )
                found.add(entry.status)
                spool.write(msgspec.json.encode(entry) + b"\n")
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return Stream(_spooled(spool), media_type="application/x-ndjson", status_code=_status(found))


async def _spooled(spool: IO[bytes]) -> AsyncIterator[bytes]:
    with spool:
        while part := spool.read(65_536):
            yield part


def _one_event(
    request: AnyRequest,
    row: EventRow | None,
    reasons: Sequence[FieldProblem],
    message: Message | None,
    reached: int,
    views: Mapping[str, View],
) -> Response[bytes]:
    body = message.body if message is not None else row.body.encode() if row is not None else b""
    known = message is not None or bool(body)
    headers = {"Qudao-Sequence": str(reached), "Cache-Control": "no-cache", "Vary": "Accept"}
    if bodies.EVENT in request.headers.get("accept", ""):
        return Response(
            body, media_type=bodies.EVENT, headers=headers | {"X-Content-Type-Options": "nosniff"}
        )
    if row is None:
        assert message is not None
        family, dealer = subject_said(message.subject)
        recorded = from_nanoseconds(message.recorded)
        row = EventRow(message.sequence, PENDING, recorded, family, dealer)
    try:
        msgspec.json.decode(body)
        event, raw = Raw(body), None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event, raw = None, base64.b64encode(body).decode() if known else None
    fields = {name: value for name, value in msgspec.structs.asdict(row).items() if name != "body"}
    answer = EventAnswer(**fields, reasons=tuple(reasons), event=event, bytes=raw)
    if prefers_html(request.headers.get("accept")):
        return Response(_event_page(answer, views), media_type=HTML, headers=headers | pages.HEADERS)
    return _json(answer, 200, headers)


def _event_page(answer: EventAnswer, views: Mapping[str, View]) -> bytes:
    """One message to be read: what became of it, and what was sent."""
    title = f"event {answer.sequence}"
    dealer, of = answer.dealer, answer.of
    own = pages.linked(escape(dealer), f"/dealers?{urlencode({'dealer': dealer})}")
    history = pages.linked("history", f"/dealers/{token(dealer)}/history")
    said = [
        ("status", escape(answer.status) + (f" of {pages.linked(str(of), f'/events/{of}')}" if of else "")),
        *[(clock, instant_text(at)) for clock, at in _clocks(answer) if at is not None],
        ("family", escape(answer.family)),
        ("dealer", (own if answer.status == PENDING else f"{own} {history}") if dealer else ""),
        *[(name, escape(getattr(answer, name))) for name in ("type", "source", "id", "kind")],
        ("document", pages.linked(escape(answer.document), _rows_of(views, answer))),
        *[(one.field, escape(one.reason)) for one in answer.reasons],
    ]
    sent = (
        answer.bytes if answer.event is None else msgspec.json.format(bytes(answer.event), indent=2).decode()
    )
    return pages.page(title, f"<h1>{title}</h1>{pages.facts(said)}<pre>{escape(sent or '')}</pre>")


def _rows_of(views: Mapping[str, View], answer: EventAnswer) -> str:
    """Where the rows of an event's document are; nothing where no view is called after its kind."""
    view = views.get(plural(answer.kind))
    if view is None or answer.kind not in view.key or not answer.document:
        return ""
    named = {"dealer": answer.dealer, answer.kind: answer.document}
    asked = urlencode({name: said for name, said in named.items() if name in view.key and said})
    return f"/{view.name}?{asked}"


def _clocks(answer: EventAnswer) -> Sequence[tuple[str, datetime | None]]:
    return ("happened", answer.effective), ("recorded", answer.recorded), ("claimed", answer.time)


def _json(answer: Struct, status: int, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    told = {"Cache-Control": "no-store", **(headers or {})}
    return Response(
        msgspec.json.encode(answer), status_code=status, media_type="application/json", headers=told
    )
