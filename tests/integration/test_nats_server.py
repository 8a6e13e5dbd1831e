from __future__ import annotations

import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.nats_server import NatsServer, NatsServerError

pytestmark = pytest.mark.integration

ORPHAN = """
import os, signal, sys
from pathlib import Path
from infra.nats_server import NatsServer
server = NatsServer.start(Path(sys.argv[1]))
print(server.url, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def listens(url: str) -> bool:
    address = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname or "", address.port or 0)) == 0


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_started_server_listens_and_a_stopped_one_does_not(tmp_path: Path) -> None:
    server = NatsServer.start(tmp_path)
    heard = listens(server.url) and server.alive()

    server.stop()
    server.stop()

    assert heard
    assert not listens(server.url)
    assert not server.alive()


def test_a_killed_server_starts_again_on_its_port_and_folder(tmp_path: Path) -> None:
    killed = NatsServer.start(tmp_path)
    killed.kill()

    with NatsServer.start(tmp_path, port=killed.port) as server:
        assert server.url == killed.url
        assert server.pid != killed.pid


def test_a_folder_with_blanks_quotes_and_chinese_in_its_name_will_do(tmp_path: Path) -> None:
    with NatsServer.start(tmp_path / 'a "b" 渠道') as server:
        assert server.alive()


def test_two_servers_never_share_a_folder(tmp_path: Path) -> None:
    with (
        NatsServer.start(tmp_path),
        pytest.raises(NatsServerError, match="another nats-server runs on"),
    ):
        NatsServer.start(tmp_path, lock_within_seconds=0.1)


def test_a_taken_port_is_named(fresh_server: NatsServer, tmp_path: Path) -> None:
    with pytest.raises(NatsServerError, match=f"port 127.0.0.1:{fresh_server.port} cannot be used"):
        NatsServer.start(tmp_path / "second", port=fresh_server.port)


def test_a_missing_binary_is_named(tmp_path: Path) -> None:
    with pytest.raises(NatsServerError, match="no executable nats-server at /nowhere/nats-server"):
        NatsServer.start(tmp_path, binary=Path("/nowhere/nats-server"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(NatsServerError, match=r"the folder .*/file cannot be written"):
        NatsServer.start(tmp_path / "file")


def test_a_server_that_dies_at_once_leaves_its_last_word(tmp_path: Path) -> None:
    dying = script(tmp_path / "nats-server", "echo no room for me >&2; exit 1")

    with pytest.raises(NatsServerError, match="ended at once: no room for me"):
        NatsServer.start(tmp_path / "data", binary=dying)


def test_a_server_that_never_gets_healthy_is_given_up_and_ended(tmp_path: Path) -> None:
    idle = script(tmp_path / "nats-server", "exec sleep 60")

    with pytest.raises(NatsServerError, match="not healthy within"):
        NatsServer.start(tmp_path / "data", binary=idle, healthy_within_seconds=0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_server_ends_with_its_killed_owner(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    owner = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(tmp_path)], cwd=root, capture_output=True, text=True, timeout=20
    )
    url = owner.stdout.strip()

    deadline = time.monotonic() + 5
    while listens(url) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert url.startswith("nats://")
    assert not listens(url)
