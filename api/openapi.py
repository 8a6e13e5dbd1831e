"""The OpenAPI 3.1 document, made from row types, the catalogue and the addresses there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from api.accepting import PROBLEM
from api.commands import COMMAND, Decided
from api.diffing import Diff
from api.events import Answers, EventAnswer, ReceiptAnswer
from api.explaining import Explanation
from api.health import Health
from api.history import History
from api.intake import Entry
from api.openapi_auditing import diff_path, history_path
from api.problems import PROBLEMS, ProblemDocument
from api.query import LIMIT_DEFAULT, LIMIT_MAX, PARAMETERS, ROW_PARAMETERS, WAIT_SECONDS_MAX, parameters_of
from api.simulating import Simulated, Simulation
from api.views import View
from api.windows import WAYS
from domain.assessment import PublishAssessment
from domain.catalogue import FAMILIES, Catalogue

Json = dict[str, Any]
_REF = "#/components/schemas/{name}"
_HEADERS = {
    "Qudao-Sequence": "The log is taken in up to this sequence.",
    "Qudao-At": "The instant the answer speaks of.",
    "Qudao-Incomplete": "Sequences of the log that are lost, where the answer reaches beyond them.",
    "ETag": "Send it as If-None-Match; 304 where nothing changed.",
}
_ANSWERS = (
    *(Answers, Decided, Diff, Entry, EventAnswer, Explanation, Health, History, ProblemDocument),
    *(PublishAssessment, ReceiptAnswer, Simulated, Simulation),
)
_ABOUT = (
    "The book of record of a distribution channel. Events go in at POST /events, every view is asked in the same "
    "small language: filters by field, from and to, under, sort, limit, cursor, sum, by and compare. Decimals are "
    "texts, instants RFC 3339 UTC."
)


def document(views: Mapping[str, View], catalogue: Catalogue, version: str) -> Json:
    """The whole document."""
    _, answered = msgspec.json.schema_components(_ANSWERS, ref_template=_REF)
    schemas: Json = _decimal_texts(answered)
    paths: Json = {}
    for view in views.values():
        _, nested = msgspec.json.schema_components(
            [field.type for field in view.shown if field.kind == "json"], ref_template=_REF
        )
        for name, schema in {**nested, _name(view): row_schema(view)}.items():
            told = _decimal_texts(schema)
            if schemas.setdefault(name, told) != told:
                raise ValueError(f"two things are described as {name}: one of them needs another name")
        paths |= _view_paths(view)
    if "dealers" in views:
        answers = _ok(_ref("History"), csv_too=True)
        content = answers["200"]["content"]
        content["application/x-ndjson"] = content.pop("text/csv")
        answers |= {"304": {"description": "Nothing changed."}, **_problems()}
        paths |= history_path(views["events"], _parameter, _filter, answers)
    for path, ways in (_event_paths(catalogue) | _command_paths() | _fixed_paths()).items():
        paths[path] = paths.get(path, {}) | ways
    return {
        "openapi": "3.1.0",
        "info": {"title": "Qudao 渠道", "version": version, "description": _ABOUT},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def row_schema(view: View) -> Json:
    """A row of a view, as it is answered."""
    return {
        "type": "object",
        "description": view.about,
        "properties": {field.name: field.schema() for field in view.shown},
        "required": list(view.fields),
        "additionalProperties": False,
    }


def _decimal_texts(schema: Any) -> Any:
    """Decimals inside a row are answered as texts, never as numbers."""
    if isinstance(schema, list):
        return [_decimal_texts(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        return {name: value for name, value in schema.items() if name in ("type", "format", "description")}
    return {name: _decimal_texts(value) for name, value in schema.items()}


def _name(view: View) -> str:
    """The row's own name; that of what they have in common where several tables share the view."""
    return view.title


def _view_paths(view: View) -> Json:
    row = {"$ref": _REF.format(name=_name(view))}
    sums = {
        "type": "object",
        "description": "A group of sums: the fields of `by`, `count`, the sums; of each that is compared also "
        "what ends in _previous, _difference and _ratio.",
        "required": ["count"],
        "properties": {"count": {"type": "integer"}},
    }
    page = {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"anyOf": [row, sums]}},
            "next": {"type": ["string", "null"]},
        },
        "required": ["items", "next"],
        "additionalProperties": False,
    }
    names = parameters_of(view)
    filters = [_filter(view, name) for name in view.fields if view.fields[name].kind != "json"]
    paths: Json = {
        f"/{view.name}": {
            "get": {
                "operationId": f"list_{view.name}",
                "summary": f"Rows of {view.name}, or sums over them.",
                "description": view.about,
                "parameters": [*[_parameter(name) for name in names if _can(view, name)], *filters],
                "responses": {
                    **_ok(page, csv_too=True),
                    "304": {"description": "Nothing changed."},
                    **_problems(),
                },
            }
        }
    }
    if view.name != "events":
        keys = "/".join(f"{{{name}}}" for name in view.key)
        paths[f"/{view.name}/{keys}"] = _of_a_row(
            view, f"get_{view.name}", f"One row of {view.name}.", _ok(row, csv_too=True)
        )
        if view.explained:
            paths[f"/{view.name}/{keys}/explain"] = _of_a_row(
                view,
                f"explain_{view.name}",
                f"Why a row of {view.name} says what it says: the documents behind it, and what each changed.",
                _ok({"$ref": "#/components/schemas/Explanation"}),
            )
            paths[f"/{view.name}/{keys}/diff"] = diff_path(
                _of_a_row(
                    view,
                    f"compare_{view.name}",
                    f"What a row of {view.name} was known to say at two moments, and what moved it between them.",
                    _ok({"$ref": "#/components/schemas/Diff"}),
                )
            )
    return paths


def _of_a_row(view: View, name: str, summary: str, responses: Json) -> Json:
    keys = [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in view.key]
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "description": "In the address every byte of an id outside A-Z a-z 0-9 _ - is written =XX, an empty "
            "field is _, and a lone _ is =5F.",
            "parameters": [*keys, *[_parameter(name) for name in ROW_PARAMETERS if _can(view, name)]],
            "responses": {**responses, "304": {"description": "Nothing changed."}, **_problems()},
        }
    }


def _can(view: View, name: str) -> bool:
    return name not in ("valid_at", "known_at", "without") or view.explained


def _filter(view: View, name: str) -> Json:
    field = view.fields[name]
    about = "Rows with this value; several times: with any of them." + (
        " Empty: with none." if field.nullable else ""
    )
    return {
        "name": name,
        "in": "query",
        "description": about,
        "schema": {"type": "array", "items": {"type": "string"}},
        "explode": True,
    }


def _parameter(name: str) -> Json:
    about = PARAMETERS[name]
    schemas: dict[str, Json] = {
        "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
        "format": {"enum": ["json", "csv", "html"]},
        "compare": {"enum": list(WAYS)},
        "valid_at": {"type": "string", "format": "date-time"},
        "min_sequence": {"type": "integer", "minimum": 0},
        "after": {"type": "integer", "minimum": 0},
        "wait": {"type": "number", "minimum": 0, "maximum": WAIT_SECONDS_MAX},
    }
    return {
        "name": name,
        "in": "query",
        "description": about,
        "schema": schemas.get(name, {"type": "string"}),
    }


def _ok(schema: Json, status: str = "200", *, csv_too: bool = False) -> Json:
    content: Json = {"application/json": {"schema": schema}}
    if csv_too:
        content |= {name: {"schema": {"type": "string"}} for name in ("text/csv", "text/html")}
    headers = {name: {"description": about, "schema": {"type": "string"}} for name, about in _HEADERS.items()}
    return {
        status: {"description": "The answer.", "content": content} | ({"headers": headers} if csv_too else {})
    }


def _problems() -> Json:
    problem = {"schema": {"$ref": _REF.format(name="ProblemDocument")}}
    return {"default": {"description": "A problem, by RFC 9457.", "content": {PROBLEM: problem}}}


def _ref(name: str) -> Json:
    return {"$ref": _REF.format(name=name)}


def _event_paths(catalogue: Catalogue) -> Json:
    event = {
        "type": "object",
        "description": "One CloudEvents 1.0 event; GET /schemas/{type} has the JSON Schema of each type.",
        "required": ["specversion", "id", "source", "subject", "time", "type", "data"],
        "properties": {"type": {"enum": sorted(catalogue.types)}},
    }
    text = {"type": "string"}
    bodies = {
        "application/cloudevents+json": {"schema": event},
        "application/json": {"schema": {"anyOf": [event, {"type": "array", "items": event}]}},
        "application/cloudevents-batch+json": {"schema": {"type": "array", "items": event}},
        "application/x-ndjson": {"schema": text},
    }
    entry = {"anyOf": [_ref("Entry"), _ref("Answers")]}
    answers: Json = {
        "200": "All of it is in the log: a duplicate, or every event of a batch.",
        "201": "The event is accepted; Location is its address.",
        "207": "Some events of a batch are in the log, some are not: see each.",
        "503": "The log did not answer: send the same again, it will not count twice.",
    }
    ways = {
        status: {
            "description": about,
            "content": {
                "application/json": {"schema": entry},
                "application/x-ndjson": {"schema": text},
                **({PROBLEM: {"schema": _ref("ProblemDocument")}} if status == "503" else {}),
            },
        }
        for status, about in answers.items()
    }
    family = {
        "name": "family",
        "in": "query",
        "schema": {"enum": list(FAMILIES)},
        "description": "Where a type has several.",
    }
    send = {
        "operationId": "send_events",
        "summary": "Send one event, an array, or a stream of lines.",
        "description": "Binary mode (ce- headers, data in the body) is taken too. A bad event never loses its "
        "neighbours; the answer has one entry per event, in order.",
        "parameters": [family],
        "requestBody": {"required": True, "content": bodies},
        "responses": {**ways, **_problems()},
    }
    sequence = {"name": "sequence", "in": "path", "required": True, "schema": {"type": "integer"}}
    identity = [{"name": name, "in": "query", "required": True, "schema": text} for name in ("source", "id")]
    waits = [_parameter(name) for name in ("min_sequence", "wait")]
    return {
        "/events": {"post": send},
        "/events/{sequence}": _get("get_event", "One event as it is stored.", "EventAnswer", [sequence]),
        "/receipts": _get("get_receipts", "What became of an event.", "ReceiptAnswer", [*identity, *waits]),
    }


def _command_paths() -> Json:
    done = {
        "201": "It is decided; Location is the address of the row.",
        "200": "It was decided before, by the same command.",
    }
    answers = {
        status: {"description": about, "content": {"application/json": {"schema": _ref("Decided")}}}
        for status, about in done.items()
    }
    command = {
        "operationId": COMMAND.replace("-", "_"),
        "summary": "Publish a dealer's assessment, or restate one.",
        "description": "409 `refused` says what to change, and under `between` what was decided meanwhile.",
        "parameters": [],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("PublishAssessment")}},
        },
        "responses": {**answers, **_problems()},
    }
    simulation = {
        "operationId": "simulate_assessments",
        "summary": "Try another assessment policy on real periods, or leave events out.",
        "description": "Nothing is stored. Of a large book, the past is tried for dealers that are named.",
        "parameters": [],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("Simulation")}},
        },
        "responses": {**_ok(_ref("Simulated")), **_problems()},
    }
    return {f"/commands/{COMMAND}": {"post": command}, "/assessments/simulate": {"post": simulation}}


def _get(operation: str, summary: str, schema: str, parameters: Iterable[Json]) -> Json:
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "parameters": list(parameters),
            "responses": {**_ok(_ref(schema)), **_problems()},
        }
    }


def _fixed_paths() -> Json:
    def plain(operation: str, summary: str, media_type: str, **parameter: str) -> Json:
        where = [
            {"name": n, "in": "path", "required": True, "schema": {"type": "string"}, "description": a}
            for n, a in parameter.items()
        ]
        schema: Json = {"type": "string"} if media_type.startswith("text") else {"type": "object"}
        answer = {"200": {"description": "The answer.", "content": {media_type: {"schema": schema}}}}
        return {
            "get": {
                "operationId": operation,
                "summary": summary,
                "parameters": where,
                "responses": {**answer, **_problems()},
            }
        }

    health = _get("get_health", "Whether all is well, and if not, why.", "Health", ())
    health["get"]["responses"]["503"] = {
        "description": "Not all is well.",
        "content": {"application/json": {"schema": _ref("Health")}},
    }
    return {
        "/": plain("get_index", "What there is.", "application/json"),
        "/health": health,
        "/metrics": plain("get_metrics", "Numbers for Prometheus.", "text/plain"),
        "/schemas": plain("list_schemas", "The event types.", "application/json"),
        "/schemas/{type}": plain(
            "get_schema", "The JSON Schema of a type.", "application/schema+json", type="A type"
        ),
        "/problems/{code}": plain(
            "get_problem", "What a problem means.", "application/json", code=", ".join(PROBLEMS)
        ),
        "/openapi.json": plain("get_openapi", "This document.", "application/json"),
        "/asyncapi.json": plain("get_asyncapi", "The events on NATS.", "application/json"),
        "/docs": plain("get_docs", "This document, to be read.", "text/html"),
    }
