"""The settings of every process: flags, then `QUDAO_*` variables, then a TOML file; a misspelt name stops it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from domain.errors import QudaoError

PREFIX = "QUDAO_"
#: Variables with the prefix that are not settings of a process.
OTHERS = frozenset({"QUDAO_REAL_DATA"})


class SettingsError(QudaoError):
    """A setting has a name or a value that means nothing."""

    code = "settings"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set. Empty addresses mean: this machine's own, under `data`."""

    data: str = "var"
    nats: str = ""
    database: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    nats_port: Annotated[int, Meta(ge=0, le=65535)] = 4222
    nats_server: str = ""
    nats_monitor: str = ""
    replicas: Annotated[int, Meta(ge=0, le=5)] = 0  # 0: 1 for a new log, no change for an old one
    duplicate_window_seconds: Annotated[int, Meta(ge=1, le=30 * 86400)] = 3600
    batch_max: Annotated[int, Meta(ge=1, le=10_000)] = 1000

    @property
    def nats_url(self) -> str:
        return self.nats or f"nats://127.0.0.1:{self.nats_port}"

    @property
    def monitor_urls(self) -> tuple[str, ...]:
        return tuple(url.strip() for url in self.nats_monitor.split(",") if url.strip())

    @property
    def nats_folder(self) -> Path:
        return Path(self.data) / "nats"

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{Path(self.data).resolve() / 'qudao.db'}"


def load(
    flags: Mapping[str, Any], environment: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """Settings from all three places. Raises SettingsError naming the place and what is known there."""
    environment = os.environ if environment is None else environment
    known = Settings.__struct_fields__
    merged: dict[str, Any] = {}
    if file is None and (Path("qudao.toml")).is_file():
        file = Path("qudao.toml")
    if file is not None:
        try:
            merged |= tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"settings file {file}: {error}") from None
        _refuse_unknown(merged, known, f"settings file {file}")
    variables = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in OTHERS
    }
    _refuse_unknown(variables, known, f"environment ({PREFIX}…)")
    merged |= variables | {name: value for name, value in flags.items() if value is not None}
    try:
        return msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"settings: {error}") from None


def _refuse_unknown(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise SettingsError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(known)}")
