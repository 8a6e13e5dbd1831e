"""The command line as a process of its own, on a scratch folder and free ports."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RUN = "import sys; sys.path.append(sys.argv.pop(1)); from cli.main import main; sys.exit(main())"
ROOT = str(Path(__file__).resolve().parents[2])
FREE_PORTS = ("--port", "0", "--nats-port", "0")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-P", "-c", RUN, ROOT, *map(str, arguments)]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUDAO_")}
    return kept | dict(more or {})


def qudao(
    *arguments: str | Path, seconds: float = 60, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment(more),
        check=False,
    )


def answer(ended: subprocess.CompletedProcess[str]) -> Any:
    """What a command said in JSON."""
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout)


class Site:
    """A running `qudao up`."""

    def __init__(self, process: subprocess.Popen[str], ready: dict[str, Any]) -> None:
        self.process = process
        self.url: str = ready["url"]
        self.nats: str = ready["nats"]
        self.pids: dict[str, int] = ready["processes"]
        self.ready = ready

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask("GET", path)

    def rows(self, view: str, sequence: int) -> list[dict[str, Any]]:
        """The rows of a view once it shows an event."""
        status, answer = self.get(f"/{view}?min_sequence={sequence}&wait=20")
        assert status == 200, answer
        found: list[dict[str, Any]] = answer["items"]
        return found

    def post(self, path: str, body: bytes, kind: str = "application/cloudevents+json") -> tuple[int, Any]:
        return self._ask("POST", path, body, {"Content-Type": kind})

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        try:
            connection.request(method, path, body, {"Accept": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@contextmanager
def up(data: Path, *arguments: str) -> Iterator[Site]:
    """`qudao up`, ready; ended at the latest with the block."""
    process = subprocess.Popen(
        command("up", "--json", "--data", data, *FREE_PORTS, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line, f"up ended with {process.wait()}: {process.stderr.read()}"
        yield Site(process, json.loads(line))
    finally:
        process.terminate()
        process.communicate(timeout=30)


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie; 0 is none."""
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether something comes to hold in time."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return held


__all__: Sequence[str] = ["FREE_PORTS", "Site", "eventually", "qudao", "runs", "up"]
