"""The pages that say what there is: the index, the reference, and what a problem means."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from html import escape
from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler, get

from api import asyncapi, openapi, pages
from api.accepting import HTML, JSON
from api.answers import chosen
from api.problems import PROBLEMS, AnyRequest, Problem
from api.views import View
from domain.catalogue import Catalogue

Json = dict[str, Any]

#: Addresses that answer nothing without a body or a parameter: a link would lead to a problem.
_ASKED_WITH = ("/commands/publish-assessment", "/assessments/simulate", "/receipts")


def index_of(views: Mapping[str, View], version: str) -> Json:
    """What there is to ask."""
    return {
        "name": "Qudao 渠道",
        "version": version,
        "views": [
            {
                "name": view.name,
                "address": f"/{view.name}",
                "about": view.about.split("\n")[0],
                "key": view.key,
            }
            for view in views.values()
        ],
        "addresses": {
            "/events": "POST events; GET the index of the log",
            "/commands/publish-assessment": "POST a command: publish an assessment, or restate one",
            "/assessments/simulate": "POST a policy to try, or events to leave out",
            "/receipts": "what became of an event, by source and id",
            "/schemas": "the event types",
            "/health": "whether all is well",
            "/metrics": "numbers for Prometheus",
            "/docs": "the reference",
            "/openapi.json": "the reference for programs",
            "/asyncapi.json": "the events on NATS, for programs",
        },
    }


def reference_handlers(
    views: Mapping[str, View], catalogue: Catalogue, version: str
) -> list[HTTPRouteHandler]:
    """GET /, /docs, /openapi.json, /asyncapi.json and /problems/<code>."""
    there = index_of(views, version)

    # Made when they are asked for: the schemas of all types take half a second, and the addresses a tenth.

    @cache
    def described() -> Json:
        return openapi.document(views, catalogue, version)

    @cache
    def events() -> bytes:
        return msgspec.json.encode(asyncapi.document(catalogue, version))

    @get("/", name="what there is", sync_to_thread=False)
    def index(request: AnyRequest) -> Response[bytes]:
        if chosen(request.headers.get("accept"), "", (JSON, HTML)) == "html":
            return _html(pages.page("Views", _index(there)))
        return Response(msgspec.json.encode(there), media_type=JSON, headers={"Vary": "Accept"})

    @get("/docs", name="reference", sync_to_thread=True)
    def read(request: AnyRequest) -> Response[bytes]:
        return _html(pages.page("Reference", _reference(described())))

    @get("/openapi.json", name="OpenAPI", sync_to_thread=True)
    def specified(request: AnyRequest) -> Response[bytes]:
        return Response(msgspec.json.encode(described()), media_type=JSON)

    @get("/asyncapi.json", name="AsyncAPI", sync_to_thread=True)
    def published(request: AnyRequest) -> Response[bytes]:
        return Response(events(), media_type=JSON)

    @get("/problems/{code:str}", name="problem", sync_to_thread=False)
    def problem(request: AnyRequest) -> Response[bytes]:
        code = str(request.path_params["code"])
        if code not in PROBLEMS:
            raise Problem("not_found", f"{code!r} is no kind of problem")
        status, title = PROBLEMS[code]
        answer = {"type": f"/problems/{code}", "status": status, "title": title}
        return Response(msgspec.json.encode(answer), media_type=JSON)

    return [index, read, specified, published, problem]


def _html(body: bytes) -> Response[bytes]:
    return Response(body, media_type="text/html", headers=pages.HEADERS | {"Vary": "Accept"})


def _index(there: Json) -> str:
    views = "".join(
        f'<tr><td><a href="{escape(view["address"])}">{escape(view["name"])}</a></td>'
        f"<td>{escape(view['about'])}</td></tr>"
        for view in there["views"]
    )
    links = "".join(
        f"<tr><td>{pages.linked(address, address if address not in _ASKED_WITH else '')}</td>"
        f"<td>{escape(about)}</td></tr>"
        for address, about in there["addresses"].items()
    )
    return f"<h1>渠道 Qudao {escape(there['version'])}</h1><table>{views}</table><table>{links}</table>"


def _reference(described: Json) -> str:
    parts = [f"<h1>Reference</h1><p class='about'>{escape(described['info']['description'])}</p>"]
    for path, ways in described["paths"].items():
        for method, way in ways.items():
            parts.append(
                f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(way['summary'])}</p>"
            )
            if about := way.get("description"):
                parts.append(f'<p class="about">{escape(_plain(about))}</p>')
            rows = "".join(
                f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}</td>"
                f"<td>{escape(one.get('description', ''))}</td></tr>"
                for one in way["parameters"]
            )
            parts.append(f"<table>{rows}</table>" if rows else "")
    parts.append("<h2>Schemas</h2>")
    for name, schema in described["components"]["schemas"].items():
        text = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
        parts.append(
            f'<details id="{escape(name)}"><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>'
        )
    return "".join(parts)


def _plain(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())
