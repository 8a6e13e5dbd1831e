"""`make bench`: measure on a scratch folder and write var/bench.json."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from bench.asking import asking
from bench.catching_up import catching_up, fill
from bench.comparison import comparing
from bench.figures import Report, machine
from bench.growing import filling, growing
from bench.remembering import remembering
from bench.serving import batches_over_http, is_json, settled, singles_over_http, visibility
from bench.verifying import verifying
from bench.views import viewing
from bench.visible import RATE, visible_at_a_rate
from cli.simulation import events
from cli.supervisor import Supervisor
from infra.durability import durability
from infra.jetstream import connect
from infra.nats_server import NatsServer
from infra.positions import Log
from infra.settings import Settings
from infra.stream import create_stream

STREAM = 150_000  # more than all that is sent to the service
STEADY_SECONDS = 15
PARTS = ("log", "comparison", "service", "growth")
T = TypeVar("T")


async def measure_log(report: Report, count: int, folder: Path) -> None:
    """Fill a log with a simulated year, catch up with it, then ask over HTTP and without."""
    with NatsServer.start(folder / "nats") as server:
        client = await connect(server.url, "bench")
        state = await create_stream(client)
        means = await durability(client, state, [server.monitor_url])
        report.durability = f"{means.acknowledged_means}: {means.explanation}"
        print(
            f"{report.machine}\n{report.durability}\nfilling a log with {count:,} simulated events",
            flush=True,
        )
        await client.close()
        _apart(fill, server.url, count)
        report.figures += _apart(catching_up, Report("", "", []), server.url, folder).figures
        report.figures += _apart(verifying, Report("", "", []), folder / "bench.db", server.url).figures
        report.figures += _apart(remembering, Report("", "", []), folder / "bench.db", server.url).figures
        asking(report, folder / "bench.db", server.url)
        viewing(report, folder / "bench.db", Log(state.store_id, state.created))


def _apart(work: Callable[..., T], *arguments: object) -> T:
    """Do it in a process of its own, so that the memory it takes is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def measure_service(report: Report, count: int, folder: Path) -> None:
    """Start everything as `qudao up` does and ask it over HTTP."""
    settings = Settings(data=str(folder / "up"), port=0, nats_port=0)
    with Supervisor(settings, print, []) as it:
        it.start()
        it.await_health()
        api, nats = it.url, it.settings.nats
        # One stream for all of it: the events of another seed have many of the same ids, and would be conflicts.
        stream = events(11, events=STREAM)
        asyncio.run(batches_over_http(report, api, nats, stream, count))
        asyncio.run(settled(api))
        asyncio.run(singles_over_http(report, api, stream, min(count, 5_000)))
        asyncio.run(settled(api))
        asyncio.run(visibility(report, api, stream, 500))
        port = int(api.rpartition(":")[2])
        for how, where in (("NATS", nats), ("HTTP", None)):
            asyncio.run(settled(api))
            sound = (event for event in stream if is_json(event.body))
            visible_at_a_rate(report, how, list(islice(sound, STEADY_SECONDS * RATE)), port, where)


def arguments() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="size of the simulated year")
    parser.add_argument("--only", choices=PARTS, help="measure one part; growth, to be asked for, takes long")
    parser.add_argument("--output", type=Path, default=Path("var/bench.json"))
    return parser


def main() -> None:
    chosen = arguments().parse_args()
    report = Report(machine(), "", [])
    with tempfile.TemporaryDirectory(prefix="qudao-bench-") as scratch:
        if chosen.only in (None, "log"):
            asyncio.run(measure_log(report, chosen.events, Path(scratch)))
        if chosen.only in (None, "comparison"):
            compared = _apart(comparing, Report("", "", []), min(chosen.events, 10_000), Path(scratch))
            report.figures += compared.figures
        if chosen.only == "growth":
            with NatsServer.start(Path(scratch) / "nats") as server:
                _apart(filling, server.url, chosen.events)
                grown = _apart(growing, Report("", "", []), server.url, Path(scratch), chosen.events)
            report.figures += grown.figures
        if chosen.only in (None, "service"):
            measure_service(report, min(chosen.events, 20_000), Path(scratch))
    report.write(chosen.output)
    print(f"written to {chosen.output}")


if __name__ == "__main__":
    main()
