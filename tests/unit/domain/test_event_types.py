"""Every type of the contract is entered whole, and its example decodes for ever."""

from __future__ import annotations

import inspect
import re

import msgspec
import pytest
from golden import FOLDER, NAMES, golden, subject_of

from domain import event_types
from domain.catalogue import FAMILIES
from domain.envelope import Attachment, Payload
from domain.event_types import CATALOGUE
from domain.flaws import unknown_members


@pytest.mark.parametrize("name", NAMES)
def test_the_example_decodes_and_reads_back_equal_after_it_is_written_again(name: str) -> None:
    entry = CATALOGUE.types[name]
    subject = subject_of(entry, msgspec.json.decode(golden(name)))

    first = CATALOGUE.read(7, 1_000, subject, golden(name))
    again = CATALOGUE.read(7, 1_000, subject, msgspec.json.encode(first.event))

    assert again == first
    assert first.type == name
    assert first.effective.tzinfo is not None


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_written_again_without_losing_a_member(name: str) -> None:
    event = CATALOGUE.decode(golden(name))

    raw = msgspec.json.decode(golden(name))
    assert msgspec.json.decode(msgspec.json.encode(event)) == raw
    assert list(unknown_members(CATALOGUE.types[name].envelope, raw)) == []


def test_every_type_has_an_example_and_every_example_a_type() -> None:
    assert sorted(path.name.removesuffix(".json") for path in FOLDER.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_type_is_named_in_the_past_and_says_what_it_means(name: str) -> None:
    entry = CATALOGUE.types[name]

    assert re.fullmatch(r"[a-z]+\.[a-z_]+\.v[1-9]", name)
    assert entry.families
    assert set(entry.families) <= set(FAMILIES)
    assert entry.document
    assert inspect.getdoc(entry.payload)
    assert str(entry.payload.__doc__).endswith((".", ")."))
    assert entry.payload.__name__.lower() == name.rsplit(".", 1)[0].replace(".", "").replace("_", "")


@pytest.mark.parametrize("name", NAMES)
def test_the_first_own_field_names_the_document_and_slots_can_be_told_apart(name: str) -> None:
    entry = CATALOGUE.types[name]
    data = CATALOGUE.decode(golden(name)).data

    own = entry.payload.__struct_fields__[len(Payload.__struct_fields__)]
    assert entry.document_field == own or name == "event.voided.v1"
    assert hash(tuple(getattr(data, field) for field in entry.slot)) is not None


@pytest.mark.parametrize("name", NAMES)
def test_every_list_and_text_of_a_type_is_bounded(name: str) -> None:
    schema = msgspec.json.schema(CATALOGUE.types[name].payload)

    for struct, definition in schema["$defs"].items():
        for field, spec in definition["properties"].items():
            if struct != Attachment.__name__ and field not in ("attachments", "type"):
                for option in spec.get("anyOf", [spec]):
                    bounded = {"maxLength", "enum", "format"} & set(option) or option.get("type") != "string"
                    assert bounded, (struct, field)
                    assert option.get("type") != "array" or "maxItems" in option, (struct, field)


def test_types_that_speak_of_one_document_say_so() -> None:
    kinds: dict[str, set[str]] = {}
    for entry in CATALOGUE.types.values():
        kinds.setdefault(entry.document, set()).add(entry.name.split(".")[0])

    shared = {kind: prefixes for kind, prefixes in kinds.items() if len(prefixes) > 1}
    assert shared == {}


def test_all_modules_with_types_are_imported() -> None:
    entered = {entry.payload.__module__ for entry in CATALOGUE.types.values()}

    assert entered == {module.__name__ for module in event_types.MODULES}


def test_only_commands_publish_what_only_a_command_may_decide() -> None:
    decided = {name for name, entry in CATALOGUE.types.items() if entry.families == ("decisions",)}

    assert decided == {
        "assessment.published.v1",
        "dealer.admitted.v1",
        "dealer.declined.v1",
        "log.gap_accepted.v1",
        "violation.confirmed.v1",
        "violation.dismissed.v1",
    }
