"""The settings as flags: every command takes all of them under the same names."""

from __future__ import annotations

import argparse
import os
from typing import Any

from msgspec.structs import asdict

from infra.settings import OTHERS, PREFIX, Settings

#: setting → what its flag says of it
HELP = {
    "data": "folder of the log, the database and their locks (default: var)",
    "nats": "address of a NATS server, nats://HOST:PORT; several with commas (default: this machine's own)",
    "database": "sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME (default: a file under DATA)",
    "host": "loopback address the HTTP API listens on (default: 127.0.0.1)",
    "port": "port of the HTTP API; 0 takes a free one (default: 8080)",
    "nats_port": "port of this machine's own NATS server; 0 takes a free one (default: 4222)",
    "nats_server": "executable nats-server (default: the one installed with qudao)",
    "nats_monitor": "monitoring addresses of the NATS servers, http://HOST:PORT with commas between",
    "replicas": "servers that hold the log, 1 to 5 (default: 1 for a new log, no change for an old one)",
    "duplicate_window_seconds": "how long the log itself remembers message ids (default: 3600)",
    "batch_max": "events folded in one transaction, at most (default: 1000)",
}
METAVAR = {
    "data": "DIR",
    "nats": "URL",
    "database": "URL",
    "host": "ADDRESS",
    "port": "N",
    "nats_port": "N",
    "nats_server": "PATH",
    "nats_monitor": "URL",
    "replicas": "N",
    "duplicate_window_seconds": "N",
    "batch_max": "N",
}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Let a command take every setting, and the file the others come from."""
    group = parser.add_argument_group("settings", "Also as QUDAO_… variables, or in a TOML file.")
    for name in Settings.__struct_fields__:
        group.add_argument(f"--{flag(name)}", metavar=METAVAR[name], help=HELP[name])
    group.add_argument("--config", metavar="FILE", help="TOML file (default: qudao.toml, where there is one)")


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings the command line names; None where it does not."""
    return {name: getattr(arguments, name, None) for name in Settings.__struct_fields__}


def as_environment(settings: Settings) -> dict[str, str]:
    """An environment that says all settings, for a child that is to have the same; passwords stay out of `ps`."""
    others = {
        name: value for name, value in os.environ.items() if not name.startswith(PREFIX) or name in OTHERS
    }
    return others | {f"{PREFIX}{name.upper()}": str(value) for name, value in asdict(settings).items()}


def flag(name: str) -> str:
    return name.replace("_", "-")
