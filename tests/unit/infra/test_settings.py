from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import Settings, SettingsError, load


def test_without_anything_said_everything_is_on_this_machine_under_one_folder() -> None:
    settings = load({}, {})

    assert settings == Settings()
    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert settings.database_url == f"sqlite:///{Path('var').resolve()}/qudao.db"


def test_flags_go_before_variables_and_variables_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text('host = "file"\ndata = "file"\nport = 1\n')

    settings = load(
        {"host": "flag", "data": None}, {"QUDAO_HOST": "variable", "QUDAO_DATA": "variable"}, file
    )

    assert (settings.host, settings.data, settings.port) == ("flag", "variable", 1)


def test_numbers_are_read_from_flags_and_variables() -> None:
    settings = load({"port": "9000"}, {"QUDAO_BATCH_MAX": "50"})

    assert (settings.port, settings.batch_max) == (9000, 50)


@pytest.mark.parametrize(
    ("flags", "variables", "file", "said"),
    [
        ({}, {"QUDAO_PROT": "1"}, "", r"environment \(QUDAO_…\): unknown prot; known are data, nats"),
        ({}, {}, "prot = 1", r"settings file .*: unknown prot; known are data, nats"),
        ({}, {}, "port = ", r"settings file .*: Invalid value"),
        ({"port": "70000"}, {}, "", r"settings: Expected `int` <= 65535 - at `\$\.port`"),
        ({"replicas": "many"}, {}, "", r"settings: Expected `int`, got `str` - at `\$\.replicas`"),
    ],
)
def test_what_means_nothing_stops_the_start_and_says_where_it_stands(
    flags: dict[str, str], variables: dict[str, str], file: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "site.toml").write_text(file)

    with pytest.raises(SettingsError, match=said):
        load(flags, variables, tmp_path / "site.toml")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load({}, {}, tmp_path / "none.toml")


def test_what_is_meant_for_tests_and_what_belongs_to_others_is_no_setting() -> None:
    assert load({}, {"QUDAO_REAL_DATA": "/data", "PATH": "/bin"}) == Settings()


def test_monitors_are_named_with_commas_between() -> None:
    assert Settings(nats_monitor="http://a:8222, http://b:8222,").monitor_urls == (
        "http://a:8222",
        "http://b:8222",
    )
