"""Errors as RFC 9457 problem documents: a stable type, a sentence, one entry per failing field, no traceback."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from html import escape
from http import HTTPStatus

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from msgspec import Struct

from api import pages
from api.accepting import HTML, PROBLEM, prefers_html
from domain.errors import QudaoError

log = logging.getLogger("qudao.api")

RETRY_SECONDS = 1

#: code → (status, title). The code is the last part of `type`, for ever.
PROBLEMS: dict[str, tuple[int, str]] = {
    "bad_request": (400, "The request cannot be read"),
    "bad_parameter": (400, "A parameter of the query is wrong"),
    "bad_cursor": (400, "The cursor is not one this query gave"),
    "cannot_be_answered": (400, "The book has no answer to this question"),
    "bad_body": (400, "The body is not what its media type says"),
    "read_only": (403, "This service only reads"),
    "not_found": (404, "There is nothing under this address"),
    "no_such_row": (404, "There is no such row"),
    "not_seen": (404, "No event of this identity has been seen yet"),
    "method_not_allowed": (405, "The address does not take this method"),
    "not_acceptable": (406, "None of the accepted media types can be given"),
    "conflict": (409, "The identity is taken by an event with other content"),
    "refused": (409, "The command cannot be done as things stand"),
    "too_large": (413, "The request is too large"),
    "event_too_large": (413, "The event is larger than the log takes"),
    "unsupported_media_type": (415, "The body's media type is not taken here"),
    "misdirected": (421, "The service does not go by this name"),
    "invalid": (422, "The event is not valid"),
    "invalid_command": (422, "The command is not valid"),
    "invalid_simulation": (422, "What is to be tried is not valid"),
    "not_understood": (422, "The event's type is not in the catalogue"),
    "decision": (422, "A decision comes from a command, not from a publisher"),
    "unexpected": (500, "Something failed that should not"),
    "log_away": (503, "The log does not answer"),
    "overtaken": (503, "Other decisions were always faster"),
    "not_yet": (503, "The answer does not reach so far yet"),
    "not_built": (503, "The view is not built yet"),
    "database_away": (503, "The database does not answer"),
}


class FieldProblem(Struct, frozen=True):
    """One thing that is wrong, and where."""

    field: str
    reason: str


class Decision(Struct, frozen=True):
    """A decision in the log."""

    sequence: int
    type: str
    dealer: str
    document: str


class ProblemDocument(Struct, frozen=True, omit_defaults=True):
    """RFC 9457, with one entry per failing field."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldProblem, ...] = ()
    source: str = ""
    id: str = ""
    sequence: int = 0
    incident: str = ""
    between: tuple[Decision, ...] = ()  # what was decided since who was refused looked


class Problem(Exception):
    """What the caller gets instead of an answer; `code` is one of PROBLEMS."""

    def __init__(
        self,
        code: str,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        *,
        source: str = "",
        id: str = "",
        sequence: int = 0,
        incident: str = "",
        between: Sequence[Decision] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        status, title = PROBLEMS[code]
        fields = tuple(FieldProblem(field, reason) for field, reason in errors)
        self.document = ProblemDocument(
            f"/problems/{code}", title, status, detail, fields, source, id, sequence, incident, tuple(between)
        )
        self.headers = dict(headers or {})
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))

    def response(self, accept: str | None = None) -> Response[bytes]:
        """The problem as an answer: a page where a browser asks."""
        html = prefers_html(accept)
        return Response(
            self._page() if html else msgspec.json.encode(self.document),
            status_code=self.document.status,
            media_type=HTML if html else PROBLEM,
            headers={
                **self.headers,
                **(pages.HEADERS if html else {}),
                "Cache-Control": "no-store",
                "Vary": "Accept",
            },
        )

    def _page(self) -> bytes:
        said = self.document
        errors = pages.facts((one.field, escape(one.reason)) for one in said.errors)
        return pages.page(said.title, f"<h1>{escape(said.title)}</h1><p>{escape(said.detail)}</p>{errors}")


AnyRequest = Request[object, object, State]


def problem_of(error: Exception, asked: str) -> Problem:
    """The problem that any exception is; what nobody foresaw is logged under an incident id."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _of_http(error, asked)
    if isinstance(error, QudaoError):
        return Problem("database_away" if error.code == "database" else "log_away", str(error))
    if isinstance(error, HTTPException) and "client disconnected" in error.detail:
        return Problem("bad_request", "the connection ended before the request did")
    incident = secrets.token_hex(6)
    log.error("incident %s while answering %s", incident, asked, exc_info=error)
    return Problem("unexpected", f"it is in the log under incident {incident}", incident=incident)


def _of_http(error: HTTPException, asked: str) -> Problem:
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}
    code = codes.get(error.status_code, "bad_request")
    details = {
        "not_found": f"{asked}: see GET / for what there is",
        "method_not_allowed": f"{asked}: see /docs for what the address takes",
    }
    return Problem(code, details.get(code, error.detail or code), headers=error.headers)


def handle(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Litestar's way in: any exception becomes a problem document."""
    return problem_of(error, f"{request.method} {request.url.path}").response(request.headers.get("accept"))
