"""The addresses of every view: a page, and a row under its key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler, get

from api.accepting import HTML, JSON
from api.answers import answer_page, answer_row, chosen
from api.diffing import answer_diff, diff, two_moments
from api.explaining import answer_why, explain
from api.fields import Stored, instant_text
from api.problems import AnyRequest, Problem
from api.query import Query, parameters, read_query
from api.reading import Opened, reached, read_page, read_row
from api.views import View, untoken
from infra.database import Position

POLL_SECONDS = 0.005


class Freshness:
    """Waits for sequences to become visible; however many wait, the positions are read once in 5 ms."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._reading: asyncio.Task[list[Position]] | None = None
        self._read_at = 0.0

    async def wait(self, view: View, query: Query) -> None:
        """Return once the view has taken in the query's min_sequence; a not_yet problem where it is too late."""
        if not query.min_sequence:
            return
        now = asyncio.get_running_loop().time
        deadline = now() + query.wait_seconds
        while True:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            at = reached(view, query, await asyncio.shield(self._reading))
            if at is not None and at >= query.min_sequence:
                return
            if now() >= deadline:
                where = "not built yet" if at is None else f"at sequence {at}"
                raise Problem(
                    "not_yet",
                    f"{view.name} is {where}, not yet at {query.min_sequence}: ask again",
                    [("min_sequence", f"was not reached within {query.wait_seconds:g} s")],
                )

    async def _read(self) -> list[Position]:
        now = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._read_at + POLL_SECONDS - now()))
        positions = await asyncio.to_thread(self._opened.positions)
        self._read_at = now()
        return positions


def now() -> datetime:
    """The time of asking."""
    return datetime.now(UTC)


def view_handlers(views: Iterable[View], opened: Opened, freshness: Freshness) -> list[HTTPRouteHandler]:
    """The handlers of all views."""
    return [handler for view in views for handler in _handlers(view, opened, freshness)]


def _handlers(view: View, opened: Opened, freshness: Freshness) -> list[HTTPRouteHandler]:
    @get(f"/{view.name}", name=view.name)
    async def ask(request: AnyRequest) -> Response[bytes]:
        raw = request.scope["query_string"]
        query = opened.meant(read_query(view, parameters(raw)))
        format = chosen(request.headers.get("accept"), query.format)
        await freshness.wait(view, query)

        def answered() -> Response[bytes]:
            page = read_page(opened, view, query, now())
            return answer_page(view, page, format, request.url.path, raw, request.headers)

        return await asyncio.to_thread(answered)

    segments = "/".join(f"{{key_{number}:str}}" for number, _ in enumerate(view.key))

    @get(f"/{view.name}/{segments}", name=f"{view.name} row")
    async def ask_row(request: AnyRequest) -> Response[bytes]:
        key = read_key(view, [str(request.path_params[f"key_{n}"]) for n, _ in enumerate(view.key)])
        query = opened.meant(read_query(view, parameters(request.scope["query_string"]), one_row=True))
        format = chosen(request.headers.get("accept"), query.format)
        await freshness.wait(view, query)
        page = await asyncio.to_thread(read_row, opened, view, key, query, now())
        if not page.rows:
            raise no_such_row(view, key, query)
        return answer_row(view, page, format, request.scope["query_string"], request.headers)

    @get(f"/{view.name}/{segments}/explain", name=f"{view.name} explained")
    async def ask_why(request: AnyRequest) -> Response[bytes]:
        key = read_key(view, [str(request.path_params[f"key_{n}"]) for n, _ in enumerate(view.key)])
        raw = request.scope["query_string"]
        query = opened.meant(read_query(view, parameters(raw), one_row=True))
        format = chosen(request.headers.get("accept"), query.format, (JSON, HTML))
        await freshness.wait(view, query)

        def answered() -> Response[bytes]:
            if (found := explain(opened, view, key, query, now())) is None:
                raise no_such_row(view, key, query)
            return answer_why(view, found, format, raw, request.headers)

        return await asyncio.to_thread(answered)

    @get(f"/{view.name}/{segments}/diff", name=f"{view.name} compared")
    async def ask_diff(request: AnyRequest) -> Response[bytes]:
        key = read_key(view, [str(request.path_params[f"key_{n}"]) for n, _ in enumerate(view.key)])
        raw = request.scope["query_string"]
        since, until, rest = two_moments(parameters(raw))
        query = opened.meant(read_query(view, rest, one_row=True))
        query = msgspec.structs.replace(query, known_at=until)
        format = chosen(request.headers.get("accept"), query.format, (JSON, HTML))
        await freshness.wait(view, query)

        def answered() -> Response[bytes]:
            if (found := diff(opened, view, key, query, since, now())) is None:
                raise no_such_row(view, key, query)
            return answer_diff(view, found, format, raw, request.headers)

        return await asyncio.to_thread(answered)

    if view.name == "events":
        return [ask]
    return [ask, ask_row, ask_why, ask_diff] if view.explained else [ask, ask_row]


def read_key(view: View, segments: Sequence[str]) -> list[Stored]:
    """A row's key from the segments of its address."""
    key = []
    for name, segment in zip(view.key, segments, strict=True):
        try:
            key.append(view.fields[name].read(untoken(segment)))
        except ValueError as error:
            raise Problem(
                "not_found", f"{segment!r} is no {name} as an address has it", [(name, str(error))]
            ) from None
    return key


def no_such_row(view: View, key: Sequence[Stored], query: Query) -> Problem:
    """The problem of an address that has no row, or none at the moment that was asked for."""
    said = ", ".join(f"{name} {text!r}" for name, text in zip(view.key, view.key_texts(key), strict=True))
    moment = {
        "known_at": _told(query.known_at),
        "valid_at": _told(query.valid_at),
        "without": ",".join(map(str, query.without)),
    }
    asked = ", ".join(f"{name}={text}" for name, text in moment.items() if text)
    return Problem("no_such_row", f"{view.name} has no row for {said}{asked and f' at {asked}'}")


def _told(moment: int | datetime | None) -> str:
    return instant_text(moment) if isinstance(moment, datetime) else str(moment or "")
