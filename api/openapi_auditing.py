"""What the OpenAPI document says of comparisons between moments and of histories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api.history_answers import HISTORY_FORMATS, HISTORY_PARAMETERS, LEFT_OUT
from api.views import View

Json = dict[str, Any]

TWICE: Json = {
    "name": "known_at",
    "in": "query",
    "required": True,
    "description": "Twice: the earlier moment and the later, instants or sequences of the log; once: up to now.",
    "schema": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
    "explode": True,
}


def diff_path(way: Json) -> Json:
    """The address of a comparison, from that of a row: its `known_at` is said twice."""
    parameters = [one for one in way["get"]["parameters"] if one["name"] != "known_at"]
    return {"get": {**way["get"], "parameters": [*parameters, TWICE]}}


def history_path(
    events: View,
    parameter: Callable[[str], Json],
    filter: Callable[[View, str], Json],
    answers: Json,
) -> Json:
    """GET /dealers/{dealer}/history."""
    names = [name for name in HISTORY_PARAMETERS if name != "format"]
    filters = [name for name, field in events.fields.items() if name not in LEFT_OUT and field.kind != "json"]
    path = {"name": "dealer", "in": "path", "required": True, "schema": {"type": "string"}}
    format = {**parameter("format"), "schema": {"enum": list(HISTORY_FORMATS)}}
    format["description"] = f"One of {', '.join(HISTORY_FORMATS)}, in place of an Accept header."
    return {
        "/dealers/{dealer}/history": {
            "get": {
                "operationId": "get_history",
                "summary": "Every message that concerns a dealer, and what was not taken.",
                "description": "By sequence: the dealer's own, those of nobody with the dealer in their scope, and "
                "those of others that name it. JSON comes in pages; lines and HTML are whole where no limit is named.",
                "parameters": [
                    path,
                    *[parameter(name) for name in names],
                    format,
                    *[filter(events, name) for name in filters],
                ],
                "responses": answers,
            }
        }
    }
