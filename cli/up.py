"""`qudao up`: the log, the projector and the HTTP API on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from cli.stopping import until_stopped
from cli.supervisor import Health, Supervisor
from infra.settings import Settings

log = logging.getLogger("qudao.up")

LOOK_SECONDS = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Settings say the rest."""
    parser.add_argument(
        "--read-only",
        action="store_true",
        help="only answer questions from the database that --database names, as `qudao replay` made it",
    )


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run everything until stopped; what is wrong at the start ends it with nothing left running."""
    if arguments.read_only:
        return _read_only(settings, as_json=arguments.json)
    began = time.monotonic()
    supervisor = Supervisor(settings, telling(arguments), child_flags(arguments))
    with until_stopped(supervisor.kill), supervisor:
        supervisor.start()
        health = supervisor.await_health()
        tell_ready(supervisor, health, time.monotonic() - began, as_json=arguments.json)
        while True:
            supervisor.tend()
            time.sleep(LOOK_SECONDS)
    return 0


def _read_only(settings: Settings, *, as_json: bool) -> int:
    """Serve a database in this process, without a log."""
    from api.app import create_app  # slow to import, all of these, and nobody else here needs them
    from api.server import listen, server_of
    from cli.opening import look_into_database
    from domain.event_types import CATALOGUE
    from projections.registry import PROJECTIONS

    look_into_database(settings).close()
    bound = listen(settings.host, settings.port)
    try:
        app = create_app(
            database_url=settings.database_url, nats_url="", catalogue=CATALOGUE, projections=PROJECTIONS
        )
        url = f"http://{settings.host}:{bound.getsockname()[1]}"
        if as_json:
            ready = {"url": url, "database": settings.database_url, "processes": {}}
            print(msgspec.json.encode(ready).decode(), flush=True)
        else:
            print(f"Qudao answers questions from {settings.database_url}; nothing is taken in.")
            print(f"  API        {url}/   (reference: /docs, of what moment: /health)")
            print("  stop       Ctrl-C", flush=True)
        server_of(app).run(sockets=[bound])
    finally:
        bound.close()
    return 0


def child_flags(arguments: argparse.Namespace) -> list[str]:
    """How the children are to log: as their parent was told to."""
    return [f"--{name}" for name in ("json", "verbose") if getattr(arguments, name)]


def telling(arguments: argparse.Namespace) -> Callable[[str], None]:
    """How to tell what happens: in the log where that is JSON, else as a line for a person."""
    if arguments.json:
        return log.warning
    return lambda line: print("qudao:", line, file=sys.stderr, flush=True)


def tell_ready(supervisor: Supervisor, health: Health, seconds: float, *, as_json: bool) -> None:
    """Say where everything is and what an acknowledgement means."""
    settings, means = supervisor.settings, supervisor.durability
    assert means is not None, "asked for when the stream was opened"
    data = str(Path(settings.data).resolve())
    if as_json:
        ready = {
            "ready_seconds": round(seconds, 3),
            "healthy": health.healthy,
            "faults": health.faults,
            "url": supervisor.url,
            "nats": settings.nats,
            "data": data,
            "database": settings.database_url,
            "acknowledged_means": means.acknowledged_means,
            "processes": supervisor.pids,
        }
        print(msgspec.json.encode(ready).decode(), flush=True)
        return
    state = f"ready after {seconds:.1f} s" if health.healthy else "running, but not well"
    print(f"Qudao is {state}.")
    for fault in health.faults:
        print(f"  not well   {fault}")
    print(f"  API        {supervisor.url}/   (reference: /docs, state: /health)")
    print(f"  log        {settings.nats}")
    print(f"  data       {data}")
    print(f"  promise    {means.explanation}")
    print("  stop       Ctrl-C", flush=True)
