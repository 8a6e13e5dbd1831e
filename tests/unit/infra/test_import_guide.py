"""The example of docs/import.md is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from cli.import_command import readable
from domain.event_types import CATALOGUE
from infra.conditions import TESTS
from infra.importing import Import
from infra.mapping import EventMapping, FileOptions, Join, Mapping, Valued

GUIDE = (Path(__file__).parents[3] / "docs" / "import.md").read_text(encoding="utf-8")


def test_the_guides_example_gives_what_the_guide_says(tmp_path: Path) -> None:
    for name, content in re.findall(r"`(\w+\.(?:csv|toml))`\n```\w+\n(.*?)```", GUIDE, re.DOTALL):
        encoding = "gb18030" if name.endswith("csv") else "utf-8"
        (tmp_path / name).write_text(content, encoding=encoding)
    running = Import(tmp_path / "mapping.toml", tmp_path, CATALOGUE)
    events = [msgspec.json.decode(message.body) for message in running.outgoing()]
    [report] = re.findall(r"```report\n(.*?)\n```", GUIDE, re.DOTALL)

    assert readable(running.report, sent=False) == report
    assert [line["net"] for line in events[2]["data"]["lines"]] == ["3000", "25.5"]


def test_the_guide_names_every_key_a_mapping_file_knows() -> None:
    structs = (Mapping, EventMapping, FileOptions, Join, Valued)
    keys = {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}

    assert [key for key in sorted(keys | set(TESTS)) if not re.search(rf"\b{key}\b", GUIDE)] == []
