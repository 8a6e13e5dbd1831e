"""The JSON Schema of an event type, as its publishers see it."""

from __future__ import annotations

from typing import Any

import msgspec

from domain.catalogue import EventType
from domain.numbers import LIMIT, PLACES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DIGITS = len(str(LIMIT)) - 1
_UNSIGNED = rf"(0|[1-9][0-9]{{0,{_DIGITS - 1}}})([.][0-9]{{1,{PLACES}}})?"


def json_schema(entry: EventType) -> dict[str, Any]:
    """The JSON Schema (Draft 2020-12) of a whole event of this type.

    What it refuses is not written as it should be; what it accepts may still break a rule that compares two
    fields, as `to` after `from`.
    """
    schema = msgspec.json.schema(entry.envelope)
    definitions = schema["$defs"]
    root = definitions.pop(entry.envelope.__name__)
    root["title"] = entry.name
    root["description"] = (
        f"{entry.payload.__doc__} Published on channel.{'|'.join(entry.families)}.<dealer>; "
        f"`subject` is {_wire_name(entry)} of `data`."
    )
    whole = {"$schema": DIALECT, **root, "$defs": definitions}
    return {name: _with_decimals(value) for name, value in whole.items()}


def _wire_name(entry: EventType) -> str:
    payload = entry.payload
    place = payload.__struct_fields__.index(entry.document_field)
    return f"`{payload.__struct_encode_fields__[place]}`"


def _with_decimals(schema: Any) -> Any:
    """Say of every decimal what may be sent: a number, or a string where digits must survive a float."""
    if isinstance(schema, list):
        return [_with_decimals(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") != "decimal":
        return {name: _with_decimals(value) for name, value in schema.items()}
    said = {name: value for name, value in schema.items() if name in ("description", "default")}
    limit = int(LIMIT)
    low = {"minimum": schema["minimum"]} if "minimum" in schema else {"exclusiveMinimum": -limit}
    high = {"maximum": schema["maximum"]} if "maximum" in schema else {"exclusiveMaximum": limit}
    sign = "" if schema.get("minimum", -1) >= 0 else "-?"
    return {
        **said,
        "anyOf": [
            {"type": "string", "pattern": f"^{sign}{_UNSIGNED}$", "maxLength": _DIGITS + PLACES + 2},
            {"type": "number", **low, **high},
        ],
    }
