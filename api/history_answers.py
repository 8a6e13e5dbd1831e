"""GET /dealers/<dealer>/history: a page for programs, lines for archives, one file to be read and printed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

import msgspec
from litestar import Response
from litestar.datastructures import Headers
from litestar.handlers import HTTPRouteHandler, get

from api.accepting import HTML, JSON, NDJSON
from api.answers import answer, chosen
from api.asking import Freshness, now, read_key
from api.concerning import registered
from api.history import History, read_history, with_event
from api.history_page import Figures, history_page
from api.link import Link
from api.problems import AnyRequest, Problem
from api.query import PARAMETERS, Query, parameters, read_query
from api.reading import Opened, Page, read_page
from api.stage0 import EVENTS, EVENTS_MAX
from api.views import View
from domain.calendar import business_day
from domain.errors import QudaoError
from domain.periods import period_of, quarter_of
from infra.lookups import read_there

log = logging.getLogger("qudao.api")

#: What a history is asked with beside fields of events.
HISTORY_PARAMETERS = [
    name for name in PARAMETERS if name not in ("sort", "sum", "by", "compare", "under", "without")
]
#: Fields of events, and ways to ask views, that a history does not take.
LEFT_OUT = ("sort", "sum", "by", "compare", "without", "dealer", "body")
#: The figures at the end of the file: view, the field that is the dealer or its places, and what is added up.
FIGURES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("dealers", "dealer", {}),
    ("dealer_sales", "dealer", {"sum": "ordered_net,dispatched_net,accepted_net,returned_net,invoiced_net"}),
    ("stock_levels", "location", {}),
    ("targets", "dealer", {}),
    ("assessments", "dealer", {}),
    ("published_assessments", "dealer", {}),
    ("receivables", "dealer", {}),
    ("statements", "dealer", {}),
)
HISTORY_FORMATS = ("json", "ndjson", "html")
ROWS_MAX = 1000
QUARTERS_MAX = 12  # whose cards stand at the end of the file: the last in which something happened


def history_handlers(
    views: Mapping[str, View], opened: Opened, link: Link, freshness: Freshness
) -> list[HTTPRouteHandler]:
    """The one handler; the fields that filter are those of events."""
    view = msgspec.structs.replace(views["events"], period="effective", source=EVENTS)

    @get("/dealers/{dealer:str}/history", name="history of a dealer")
    async def ask(request: AnyRequest) -> Response[bytes]:
        dealer = str(read_key(views["dealers"], [str(request.path_params["dealer"])])[0])
        raw = request.scope["query_string"]
        query, format, limited = read_question(view, parameters(raw))
        query = opened.meant(query)
        format = chosen(request.headers.get("accept"), format, (JSON, NDJSON, HTML))
        await freshness.wait(view, query)
        limit = query.limit if limited or format == "json" else EVENTS_MAX
        at = now()
        found = await asyncio.to_thread(read_history, opened, view, dealer, query, limit, at)
        if found is None:
            raise Problem("no_such_row", f"no event is of a dealer {dealer!r}, and none names it")
        if found.next and not limited and format != "json":
            reason = f"more than {EVENTS_MAX} messages: name limit, or from and to"
            raise Problem("cannot_be_answered", reason, [("limit", reason)])
        found = await _with_refused(found, link)
        figures: list[Figures] = []
        if format == "html":
            figures = await asyncio.to_thread(_figures, opened, views, dealer, query, found)
        return answer_history(dealer, found, figures, format, request.url.path, raw, request.headers)

    return [ask]


def read_question(view: View, said: Iterable[tuple[str, str]]) -> tuple[Query, str, bool]:
    """A question, the format it names, and whether it says how many; `ndjson` is a format here only."""
    said = list(said)
    rest = [pair for pair in said if pair != ("format", "ndjson")]
    wrong = [
        (name, f"is not known here; there are: {', '.join(HISTORY_PARAMETERS)}")
        for name, _ in rest
        if name in LEFT_OUT
    ]
    told = f"must be one of {', '.join(HISTORY_FORMATS)}"
    wrong += [(name, told) for name, value in rest if name == "format" and value not in HISTORY_FORMATS]
    if wrong:
        raise Problem("bad_parameter", f"wrong in this history: {', '.join(n for n, _ in wrong)}", wrong)
    query = read_query(view, rest)
    format = "ndjson" if len(rest) < len(said) else query.format
    return query, format, any(name == "limit" for name, _ in said)


async def _with_refused(found: History, link: Link) -> History:
    """With what the log has of messages that were not taken: the index keeps no body of them."""
    refused = [entry.sequence for entry in found.items if entry.event is None]
    if not refused or link.absent:
        return found
    try:
        messages = {one.sequence: one.body for one in await read_there(link.client, refused)}
    except QudaoError as error:
        log.warning("a history is answered without what was refused: %s", error)
        return found
    items = [
        with_event(one, messages[one.sequence]) if one.sequence in messages else one for one in found.items
    ]
    return msgspec.structs.replace(found, items=tuple(items))


def _figures(
    opened: Opened, views: Mapping[str, View], dealer: str, query: Query, history: History
) -> list[Figures]:
    """What the views say of the dealer, all of them of the history's own instant."""
    found = []
    with opened.reader() as reader:
        places = [dealer, *(one for one in registered(reader, dealer, history.sequence) if one != dealer)]
    happened = [entry.effective for entry in history.items if entry.effective is not None]
    quarters = sorted({q for at in happened if period_of(q := quarter_of(business_day(at)))})[-QUARTERS_MAX:]
    for name, field, more in FIGURES:
        view = views[name]
        whose = [(field, place) for place in places] if field == "location" else [(field, dealer)]
        whose += [("period", quarter) for quarter in quarters] if name == "assessments" else []
        asked = read_query(view, [*whose, ("limit", str(ROWS_MAX)), *more.items()])
        asked = msgspec.structs.replace(asked, valid_at=query.valid_at, known_at=query.known_at)
        page: Page = read_page(opened, view, asked, history.at)
        found.append(Figures(view, page))
    return found


def answer_history(
    dealer: str,
    found: History,
    figures: list[Figures],
    format: str,
    path: str,
    raw: bytes,
    headers: Headers,
) -> Response[bytes]:
    """A history in the format asked for."""
    extra: dict[str, str] = {}
    following = ""
    if found.next:
        kept = [(name, value) for name, value in parameters(raw) if name != "cursor"]
        following = f"{path}?{urlencode([*kept, ('cursor', found.next)])}"
        extra["Link"] = f'<{following}>; rel="next"'
    if format == "ndjson":
        body = b"".join(msgspec.json.encode(entry) + b"\n" for entry in found.items)
    elif format == "html":
        body = history_page(dealer, found, figures, following)
    else:
        body = msgspec.json.encode(found)
    return answer(body, format, found.sequence, found.at, headers, extra)
