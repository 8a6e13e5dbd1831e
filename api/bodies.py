"""The ways events come in over HTTP: one, an array, a stream of lines, or headers and data."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import TypeVar
from urllib.parse import unquote

import msgspec

from api.intake import too_large
from api.problems import AnyRequest, Problem
from domain.catalogue import BODY_BYTES_MAX

REQUEST_BYTES_MAX = 8_388_608
COMMAND_BYTES_MAX = 65_536
CHUNK_EVENTS_MAX = 1000
CHUNK_BYTES_MAX = 4_194_304
DEEP_BYTES_MAX = 1_048_576  # of an array in which one is looked for that is nested too deeply: 0.6 s of work
LEVELS_MAX = 100  # the decoder gives up at several hundred; elements below this are never set aside

#: What opens, closes and parts values. A string is one match, ended or not: the time is linear for any bytes.
_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{},]', re.DOTALL)

JSON = "application/json"
EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
LINES = ("application/x-ndjson", "application/jsonl", "application/ndjson")
TAKEN = (EVENT, BATCH, JSON, *LINES)

T = TypeVar("T")


def media_type(request: AnyRequest) -> str:
    """The body's media type without its parameters; a charset other than UTF-8 is a problem."""
    said, _, details = request.headers.get("content-type", "").partition(";")
    for detail in details.lower().split(";"):
        name, _, value = detail.strip().partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise Problem("unsupported_media_type", f"charset {value} is not taken: send UTF-8")
    return said.strip().lower()


async def whole(request: AnyRequest, bytes_max: int = REQUEST_BYTES_MAX) -> bytes:
    """The whole body, up to a size."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise Problem("too_large", f"the body has more than {bytes_max} bytes: send several, or NDJSON")
        parts.append(part)
    return b"".join(parts)


def elements(body: bytes) -> list[bytes]:
    """The elements of a JSON array, byte by byte as they were sent; one nested too deeply is not looked into."""
    try:
        try:
            return _split(body)
        except RecursionError:
            if len(body) > DEEP_BYTES_MAX:
                raise
            rest, deep = _without_deep(body)
            return [deep.get(number, element) for number, element in enumerate(_split(rest))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("bad_body", f"the body is no JSON array: {error}; nothing was taken") from None


def read(body: bytes, type: type[T], code: str) -> T:
    """What is asked for, from its body; raises a problem of a code that says what is wrong with it."""
    try:
        return msgspec.json.decode(body, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said, _, where = str(error).partition(" - at `$")
        named = re.search(r"(?:unknown|required) field `(\w+)`", said)
        path = [where.rstrip("`").lstrip("."), named[1] if named else ""]
        field = ".".join(filter(None, path)) or "(body)"
        raise Problem(code, f"{field}: {said}", [(field, said)]) from None


def _split(body: bytes) -> list[bytes]:
    return [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]


def _without_deep(body: bytes) -> tuple[bytes, dict[int, bytes]]:
    """The array with null for each element nested too deeply, and those elements by their number."""
    parts: list[bytes] = []
    deep: dict[int, bytes] = {}
    kept = begin = level = deepest = number = 0
    for mark in _MARKS.finditer(body):
        match mark[0]:
            case b"[" | b"{":
                level += 1
                if level == 2:
                    begin, deepest = mark.start(), 2
                deepest = max(deepest, level)
            case b"]" | b"}":
                level -= 1
                if level == 1 and deepest > LEVELS_MAX:
                    parts += [body[kept:begin], b"null"]
                    kept, deepest = mark.end(), 0
                    deep[number] = body[begin:kept]
            case b"," if level == 1:
                number += 1
    return b"".join([*parts, body[kept:]]), deep


async def chunks(parts: AsyncIterator[bytes]) -> AsyncIterator[list[bytes | None]]:
    """The lines of a stream in bounded groups; None for a line too long to be an event, empty lines left out."""
    rest = bytearray()
    skipping = False
    group: list[bytes | None] = []
    size = 0
    async for part in parts:
        rest += part
        lines = rest.split(b"\n")
        rest = lines.pop()
        for line in lines:
            event: bytes | None = None if skipping else bytes(line.strip(b" \t\r"))
            skipping = False
            if event == b"":
                continue
            group.append(event)
            size += len(event or b"")
            if len(group) >= CHUNK_EVENTS_MAX or size >= CHUNK_BYTES_MAX:
                yield group
                group, size = [], 0
        if len(rest) > BODY_BYTES_MAX + 2:
            rest, skipping = bytearray(), True
    if skipping or rest.strip(b" \t\r"):
        group.append(None if skipping else bytes(rest.strip(b" \t\r")))
    if group:
        yield group


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether the event's attributes are in headers."""
    return any(name.lower().startswith("ce-") for name in headers)


def structured(headers: Mapping[str, str], said: str, data: bytes) -> bytes:
    """An event sent as headers and data, as structured JSON; the bytes of the data stay as they are."""
    if said != JSON:
        raise Problem(
            "unsupported_media_type", f"data of {said or 'no media type'} is not taken: send {JSON}"
        )
    if len(data) > BODY_BYTES_MAX:
        raise too_large(len(data))
    try:  # by itself: two halves of other JSON around it must not make it something else
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("invalid", f"data is not JSON: {error}", [("data", f"is not JSON: {error}")]) from None
    attributes: dict[str, object] = {}
    for name, value in headers.items():
        if name.lower().startswith("ce-") and name.lower() not in ("ce-data", "ce-datacontenttype"):
            attributes[name.lower()[3:]] = _decoded(name, value)
    return msgspec.json.encode({**attributes, "datacontenttype": JSON, "data": msgspec.Raw(data)})


def _decoded(name: str, value: str) -> str:
    """A header's value by the CloudEvents HTTP binding: UTF-8, percent-encoded."""
    try:
        return unquote(value.encode("latin-1").decode(), errors="strict").strip('"')
    except UnicodeError:
        reason = "is not percent-encoded UTF-8"
        raise Problem("bad_request", f"{name} {reason}", [(name, reason)]) from None
