"""The JSON Schema of a type and its decoder agree on what an event is."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

import jsonschema
import msgspec
import pytest
from golden import NAMES, changed, golden
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.catalogue import Rejected
from domain.event_types import CATALOGUE
from domain.schema import DIALECT, json_schema

#: What a schema cannot say: rules that compare two values, count bytes, or look at more than the form.
UNSAID = re.compile(
    r"must be after|must not be before|but `data` speaks|bytes of UTF-8|surrogates|decimal places"
    r"|at most 1|at most 9|at least -|must add up to|RFC3339|is nested|contain NUL"
)


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


instants = st.datetimes(timezones=zones).map(datetime.isoformat)


@cache
def written_as(pattern: str, length_max: int) -> st.SearchStrategy[str]:
    return st.from_regex(pattern.replace("$", r"\Z")).filter(lambda text: len(text) <= length_max)


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json_schema(CATALOGUE.types[name])
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", ["order.placed.v1", "promotion.planned.v1", "target.set.v1"])
def test_a_schema_is_written_in_the_dialect_it_names(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(CATALOGUE.types[name]))


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_says_what_it_is_about_and_accepts_the_example(name: str) -> None:
    schema = json_schema(CATALOGUE.types[name])

    validator(name).validate(msgspec.json.decode(golden(name)))
    assert schema["$schema"] == DIALECT
    assert schema["title"] == name
    assert schema["description"].startswith(str(CATALOGUE.types[name].payload.__doc__))
    assert all(definition.get("description") for definition in schema["$defs"].values())


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_refuses_an_example_without_any_required_member(name: str) -> None:
    schema = json_schema(CATALOGUE.types[name])
    definition = schema["$defs"][CATALOGUE.types[name].payload.__name__]

    for member in definition["required"]:
        raw = changed(name, **{member: None})
        assert not validator(name).is_valid(raw)
        with pytest.raises(Rejected):
            CATALOGUE.decode(msgspec.json.encode(raw))


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("1.5", True),
        ("999999999999.999999", True),
        (1.5, True),
        (0, True),
        ("1000000000000", False),
        (10**12, False),
        ("-1", False),
        (-1, False),
        ("NaN", False),
        ("", False),
        ("1.0000001", False),
        (True, False),
        (None, False),
        ([], False),
    ],
)
def test_schema_and_decoder_take_the_same_quantities(value: object, taken: bool) -> None:
    raw = changed("order.placed.v1")
    raw["data"]["lines"][0]["quantity"] = value

    assert validator("order.placed.v1").is_valid(raw) is taken
    try:
        CATALOGUE.decode(msgspec.json.encode(raw))
        decoded = True
    except Rejected:
        decoded = False
    assert decoded is taken


def written_by(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    """JSON that a schema accepts, for the part of JSON Schema that event types use; lists are kept short."""
    match schema:
        case {"$ref": reference}:
            return written_by(definitions[reference.rpartition("/")[2]], definitions)
        case {"anyOf": options}:
            return st.one_of([written_by(option, definitions) for option in options])
        case {"enum": values}:
            return st.sampled_from(values)
        case {"format": "date-time"}:
            return instants
        case {"type": "string", "pattern": pattern}:
            return written_as(pattern, schema.get("maxLength", 1_000))
        case {"type": "string"}:
            return st.text(min_size=schema.get("minLength", 0), max_size=min(20, schema.get("maxLength", 20)))
        case {"type": "number"}:
            low, high = schema.get("minimum", -(10**12) + 1), schema.get("maximum", 10**12 - 1)
            return st.integers(low, high) | st.decimals(low, min(high, 10**6), places=6).map(float)
        case {"type": "integer"}:
            return st.integers(schema.get("minimum", -(2**53)), schema.get("maximum", 2**53))
        case {"type": "array", "items": items}:
            least = schema.get("minItems", 0)
            return st.lists(written_by(items, definitions), min_size=least, max_size=least + 1)
        case {"type": "object", "properties": properties}:
            required = schema.get("required", ())
            members = {name: written_by(member, definitions) for name, member in properties.items()}
            return st.fixed_dictionaries(
                {name: member for name, member in members.items() if name in required},
                optional={name: member for name, member in members.items() if name not in required},
            )
        case {"type": "object"}:
            return st.just({})
        case {"type": "boolean"}:
            return st.booleans()
        case {"type": "null"}:
            return st.none()
    raise NotImplementedError(schema)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_schema_accepts_the_decoder_refuses_only_for_rules_that_a_schema_cannot_say(
    name: str,
) -> None:
    schema = json_schema(CATALOGUE.types[name])

    # A counterexample is legible as it is; shrinking one against a whole schema takes a minute.
    @settings(max_examples=2, deadline=None, database=None, phases=[Phase.generate])
    @given(written_by(schema, schema["$defs"]))
    def agrees(raw: dict[str, Any]) -> None:
        validator(name).validate(raw)
        try:
            CATALOGUE.decode(msgspec.json.encode(raw))
            refused = []
        except Rejected as rejected:
            refused = [reason for reason in rejected.reasons if not UNSAID.search(reason.reason)]

        # That only an adjustment may be below zero compares a line with its event.
        assert [r for r in refused if name != "stock.moved.v1" or "at least 0" not in r.reason] == []

    agrees()


@settings(max_examples=30, deadline=None)
@given(st.data(), st.sampled_from(NAMES))
def test_what_the_decoder_accepts_the_schema_accepts_after_one_value_is_replaced(
    data: st.DataObject, name: str
) -> None:
    raw = msgspec.json.decode(golden(name))
    member = data.draw(st.sampled_from(sorted(raw["data"])))
    raw["data"][member] = data.draw(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({})
    )
    try:
        event = CATALOGUE.decode(msgspec.json.encode(raw))
    except Rejected:
        return

    validator(name).validate(msgspec.json.decode(msgspec.json.encode(event)))
