from __future__ import annotations

import argparse

from cli.flags import HELP, METAVAR, add_settings, as_environment, given
from infra.settings import Settings, load


def test_every_setting_is_a_flag_that_says_what_it_is() -> None:
    assert set(HELP) == set(METAVAR) == set(Settings.__struct_fields__)


def test_what_no_flag_names_is_left_to_variables_and_the_file() -> None:
    parser = argparse.ArgumentParser()
    add_settings(parser)

    found = given(parser.parse_args(["--nats-port", "1", "--data", "x"]))

    assert {name: value for name, value in found.items() if value is not None} == {
        "nats_port": "1",
        "data": "x",
    }


def test_a_child_has_its_parents_settings_whatever_else_its_environment_says() -> None:
    settings = Settings(data="渠道", nats="nats://user:secret@a:4222", port=0, replicas=3)

    assert load({}, as_environment(settings)) == settings
