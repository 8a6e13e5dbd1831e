"""How an answer is given: the media type asked for, how current it is, and nothing where nothing changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from urllib.parse import urlencode

from litestar import Response
from litestar.datastructures import Headers

from api import pages, sheets
from api.accepting import CSV, HTML, JSON, NDJSON, quality
from api.fields import Shown, instant_text
from api.leading import Leads, leads_of_sums
from api.problems import Problem
from api.query import parameters
from api.reading import Page, shown
from api.rows import rows_json
from api.views import View

_FORMATS = {JSON: "json", CSV: "csv", HTML: "html", NDJSON: "ndjson"}
_MEDIA_TYPES = {
    "json": JSON,
    "csv": CSV + "; header=present",
    "html": HTML,
    "ndjson": NDJSON,
}


def chosen(accept: str | None, said: str, offered: Sequence[str] = (JSON, CSV, HTML)) -> str:
    """The format to answer in: the one named, else the best of an Accept header.

    Raises a bad_parameter problem where the one named is not offered, not_acceptable where none of the header is.
    """
    if said:
        there = [_FORMATS[media_type] for media_type in offered]
        if said not in there:
            reason = f"must be one of {', '.join(there)} here"
            raise Problem("bad_parameter", f"format {reason}", [("format", reason)])
        return said
    best, most = "", 0.0
    for media_type in offered:
        wanted = quality(accept, media_type)
        if wanted > most:
            best, most = media_type, wanted
    if not best:
        raise Problem("not_acceptable", f"there are {', '.join(offered)}")
    return _FORMATS[best]


def answer_page(
    view: View, page: Page, format: str, path: str, query: bytes, headers: Headers
) -> Response[bytes]:
    """A page of rows or of sums."""
    following = _following(query, page.next)
    extra: dict[str, str] = {}
    if page.next:
        extra["Link"] = f'<{path}?{following}>; rel="next"'
    if format == "csv":
        body = sheets.sheet(page.fields, shown(page))
        extra["Content-Disposition"] = f'inline; filename="{view.name}.csv"'
    elif format == "html":
        rows = shown(page)
        body = _html_page(
            view, page, pages.table(page.fields, rows, _leads(view, page, rows, query)), following
        )
    else:
        body = page_json(page)
    return answer(body, format, page.sequence, page.at, headers, extra)


def answer_row(view: View, page: Page, format: str, query: bytes, headers: Headers) -> Response[bytes]:
    """One row."""
    if format == "csv":
        body = sheets.sheet(page.fields, shown(page))
    elif format == "html":
        [row], key, opens = shown(page), page.rows[0][: len(view.key)], view.explained and page.opens
        title = " · ".join(view.key_texts(key))
        current = f"<p>as of sequence {page.sequence}, {instant_text(page.at)}</p>"
        about = f"<h1>{escape(title)}</h1>{'' if page.opens else pages.TRIED}{_about(view)}{current}"
        leads = Leads(view, query, opens=opens)
        record = pages.record(page.fields, row, leads.of_row(row, key, alone=True))
        body = pages.page(title, about + record + leads.ways_on(row, key))
    else:
        [row_json] = rows_json(page.fields, page.rows)
        body = row_json.encode()
    return answer(body, format, page.sequence, page.at, headers, {})


def page_json(page: Page) -> bytes:
    """A page as it is answered in JSON."""
    following = "null" if page.next is None else f'"{page.next}"'
    return f'{{"items":[{",".join(rows_json(page.fields, page.rows))}],"next":{following}}}'.encode()


def answer(
    body: bytes, format: str, sequence: int, at: datetime, headers: Headers, extra: dict[str, str]
) -> Response[bytes]:
    """A body with how current it is; 304 where the caller has it already."""
    tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    extra |= {
        "ETag": tag,
        "Qudao-Sequence": str(sequence),
        "Qudao-At": instant_text(at),
        "Cache-Control": "no-cache",
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
    }
    if _has(headers.get("if-none-match", ""), tag):
        return Response(b"", status_code=304, headers=extra)
    if format == "html":
        extra |= pages.HEADERS
    return Response(body, media_type=_MEDIA_TYPES[format], headers=extra)


def _has(said: str, tag: str) -> bool:
    return any(one.strip() in (tag, tag.removeprefix("W/"), "*") for one in said.split(","))


def _leads(
    view: View, page: Page, rows: Sequence[Mapping[str, Shown]], query: bytes
) -> Sequence[Mapping[str, str]]:
    """Of each row of a page, or of each group of sums: which field leads where."""
    names = [field.name for field in page.fields]
    if "count" in names:
        return leads_of_sums(view, rows, names[: names.index("count")], query)
    places = [names.index(name) for name in view.key]
    keys = [[row[place] for place in places] for row in page.rows]
    leads = Leads(view, query, opens=view.explained and page.opens)
    return [leads.of_row(row, key) for row, key in zip(rows, keys, strict=True)]


def _following(query: bytes, cursor: str | None) -> str:
    kept = [(name, value) for name, value in parameters(query) if name != "cursor"]
    return urlencode([*kept, ("cursor", cursor)]) if cursor else ""


def _about(view: View) -> str:
    return f'<p class="about">{escape(_unindented(view.about))}</p>'


def _unindented(about: str) -> str:
    return "\n".join(line.strip() for line in about.splitlines())


def _html_page(view: View, page: Page, table: str, following: str) -> bytes:
    current = f"<p>{len(page.rows)} rows, as of sequence {page.sequence}, {instant_text(page.at)}</p>"
    more = (
        f'<p><a rel="next" href="/{view.name}?{escape(following)}">next page →</a></p>' if following else ""
    )
    trial = "" if page.opens else pages.TRIED
    return pages.page(view.name, f"<h1>{escape(view.name)}</h1>{trial}{_about(view)}{current}{table}{more}")
