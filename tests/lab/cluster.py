"""Three nats-servers of this machine that keep one log together, set up as the page for operators says."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.monitoring import asked_of
from infra.nats_server import find_binary
from infra.ports import free_port

#: As the page for operators has it.
PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating.md"
MORE = """
log_file: "FOLDER/nats.log"
lame_duck_duration: "30s"  # the least there is
lame_duck_grace_period: "1s"
"""
NAMES = ("n1", "n2", "n3")


class Node:
    """One server of the cluster, which may be killed and started again where it was."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder / name
        self.port, self.monitor, self.route = free_port(), free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.monitor}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(find_binary()), "--config", str(self.folder / "nats.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float = 20) -> None:
        assert self.process is not None
        self.process.wait(seconds)

    def well(self) -> bool:
        with contextlib.suppress(OSError):
            return asked_of(self.monitor_url, "/healthz")[0] == 200
        return False


class Cluster:
    """`with Cluster(folder) as cluster:` three servers run and are well."""

    def __init__(self, folder: Path, *, sync: str = "always") -> None:
        self.nodes = [Node(name, folder) for name in NAMES]
        page = PAGE.read_text(encoding="utf-8").partition("## A cluster of three")[2]
        documented = page.split("```")[1] + MORE
        routes = {f"HOST{n}:6222": f"127.0.0.1:{node.route}" for n, node in enumerate(self.nodes, 1)}
        for node in self.nodes:
            values = {
                **routes,
                "NAME": node.name,
                "FOLDER": str(node.folder),
                "HOST:4222": f"127.0.0.1:{node.port}",
                "HOST:8222": f"127.0.0.1:{node.monitor}",
                "HOST:6222": f"127.0.0.1:{node.route}",
                "sync_interval: always": f"sync_interval: {sync}",
            }
            text = documented
            for name, value in values.items():
                assert name in text, f"the documented configuration has no {name}"
                text = text.replace(name, value)
            node.folder.mkdir(parents=True)
            (node.folder / "nats.conf").write_text(text, encoding="utf-8")

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self.nodes)

    @property
    def monitor_urls(self) -> list[str]:
        return [node.monitor_url for node in self.nodes]

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        self.await_well()

    def await_well(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not all(node.well() for node in self.nodes):
            assert time.monotonic() < deadline, "the cluster did not get well"
            time.sleep(0.05)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            if node.process is not None:
                node.process.kill()
                node.process.wait()
