"""How long answers take over HTTP while nothing else happens: one client on one kept connection."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any

import msgspec

from bench.figures import Report
from cli.simulation.year import FIRST_DAY
from infra.child import spawn
from infra.ports import free_port

VIEWS = ("orders", "stock_levels", "sales")
PAGES = 500
SUMS = 9
AT_REST, SUM = 10, 300  # ms that a page and a sum over the year may take


def asking(report: Report, database: Path, nats: str) -> None:
    """Page through views of a database and add up its year, from the question to the last byte."""
    with _served(database, nats) as port:
        client = _Client(port)
        for view in VIEWS:
            taken = sorted(_pages(client, view))
            report.add(f"a page of 100 {view} over HTTP, median", median(taken), "ms")
            report.add(
                f"a page of 100 {view} over HTTP, p99", quantiles(taken, n=100)[98], "ms", most=AT_REST
            )
        _, newest = client.get("/orders?sort=-day&limit=1")
        end = date.fromisoformat(newest["items"][0]["day"]) + timedelta(days=1)
        address = f"/sales?sum=ordered_net&by=territory&from={FIRST_DAY}&to={end}"
        taken = [client.get(address)[0] for _ in range(SUMS)]
        report.add("sales of the year by territory over HTTP, slowest", max(taken), "ms", most=SUM)


def _pages(client: _Client, view: str) -> Iterator[float]:
    """Page after page, from the first on and again from there."""
    first = address = f"/{view}?limit=100"
    client.get(first)  # opens the database
    for _ in range(PAGES):
        taken, page = client.get(address)
        yield taken
        address = f"{first}&cursor={page['next']}" if page["next"] else first


class _Client:
    """One connection, kept; what it reads it reads whole."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, address: str) -> tuple[float, Any]:
        """The milliseconds until the whole answer was there, and the answer."""
        began = perf_counter()
        self._connection.request("GET", address)
        answer = self._connection.getresponse()
        body = answer.read()
        taken = (perf_counter() - began) * 1000
        assert answer.status == 200, body[:300]
        return taken, msgspec.json.decode(body)


@contextmanager
def _served(database: Path, nats: str) -> Iterator[int]:
    """`qudao serve` over a database: the port it answers on."""
    port = free_port()
    settings = ["--database", f"sqlite:///{database}", "--nats", nats, "--port", str(port)]
    process = spawn([sys.executable, "-m", "cli.main", "serve", *settings])
    try:
        while not _answers(port):
            assert process.poll() is None, "the API ended at once"
            sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        _Client(port).get("/")
    except OSError:
        return False
    return True
