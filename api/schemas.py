"""The event types, each with its JSON Schema and an example that it accepts."""

from __future__ import annotations

from importlib import resources
from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler, get

from api.problems import AnyRequest, Problem
from domain.catalogue import Catalogue, EventType
from domain.schema import json_schema


def example_of(entry: EventType) -> msgspec.Raw | None:
    """The example of a type, as it stands among the examples; None where it has none."""
    found = resources.files("domain") / "examples" / f"{entry.name}.json"
    return msgspec.Raw(found.read_bytes().strip()) if found.is_file() else None


def described(entry: EventType) -> dict[str, Any]:
    """What a publisher needs to know of a type."""
    schema = json_schema(entry)
    example = example_of(entry)
    return schema | ({"examples": [example]} if example is not None else {})


def listed(catalogue: Catalogue) -> dict[str, Any]:
    """All types, each with a sentence and its address."""
    return {
        "items": [
            {
                "type": entry.name,
                "about": (entry.payload.__doc__ or "").strip(),
                "families": entry.families,
                "document": entry.document,
                "schema": f"/schemas/{entry.name}",
            }
            for _, entry in sorted(catalogue.types.items())
        ]
    }


def schema_handlers(catalogue: Catalogue) -> list[HTTPRouteHandler]:
    """GET /schemas and GET /schemas/<type>."""

    @get("/schemas", name="event types", sync_to_thread=False)
    def list_schemas(request: AnyRequest) -> Response[bytes]:
        return Response(msgspec.json.encode(listed(catalogue)), media_type="application/json")

    @get("/schemas/{name:str}", name="event type", sync_to_thread=False)
    def one_schema(request: AnyRequest) -> Response[bytes]:
        name = str(request.path_params["name"])
        if name not in catalogue.types:
            raise Problem("not_found", f"{name!r} is no event type: see GET /schemas")
        body = msgspec.json.encode(described(catalogue.types[name]))
        return Response(body, media_type="application/schema+json")

    return [list_schemas, one_schema]
