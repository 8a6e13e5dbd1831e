"""`qudao demo`: everything on a scratch folder, filled with a simulated channel, summed up, then served."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec

from cli.asking import Api
from cli.progress import Telling
from cli.simulation import Published, events
from cli.simulation.publishing import Sent, publish
from cli.stopping import until_stopped
from cli.summary import ask, lines_of
from cli.supervisor import Health, Supervisor
from cli.trouble import make_folder
from cli.up import LOOK_SECONDS, child_flags, tell_ready, telling
from domain.errors import QudaoError
from infra.append import Appender
from infra.jetstream import connect
from infra.ports import free_port
from infra.settings import Settings

EVENTS, SEED = 20_000, 1
VIEWS = ("events", "orders", "stock_levels")
VISIBLE_SECONDS = 600
PAGES = (
    ("/", "everything there is"),
    ("/orders", "orders, each with its lines"),
    ("/stock_levels?sort=on_hand", "stock, least first"),
    ("/rejections", "what was not taken, and why"),
    ("/docs", "the reference"),
)
MARK = "this-is-a-demo"


class DemoError(QudaoError):
    """The demo would mix simulated events with real ones."""

    code = "demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--once", action="store_true", help="print the summary and end, leaving nothing behind"
    )
    parser.add_argument(
        "--events",
        type=_positive,
        default=EVENTS,
        metavar="N",
        help=f"about how many events (default: {EVENTS})",
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, metavar="S", help=f"which simulated year (default: {SEED})"
    )


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("give at least 1")
    return number


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Fill, sum up, and serve until stopped or, with `--once`, end."""
    if arguments.nats or arguments.database:
        raise DemoError("the demo fills a log and a database of its own: leave --nats and --database out")
    began = time.monotonic()
    done = False
    with ExitStack() as stack:
        settings = _scratch(settings, arguments.data, stack)
        supervisor = Supervisor(settings, telling(arguments), child_flags(arguments))
        with until_stopped(supervisor.kill), supervisor:
            supervisor.start()
            health = supervisor.await_health()
            started = time.monotonic() - began
            if not arguments.json:
                print(
                    f"Simulating a beverage maker's channel, about {arguments.events:,} events …", flush=True
                )
            filled = time.monotonic()
            sent = asyncio.run(_fill(supervisor.settings, arguments.seed, arguments.events))
            appended = time.monotonic() - filled
            api = Api(supervisor.settings.host, supervisor.settings.port)
            api.await_sequence(VIEWS, sent.last_sequence, VISIBLE_SECONDS)
            visible = time.monotonic() - filled
            found = ask(api)
            done = True
            if arguments.json:
                print(msgspec.json.encode(found).decode(), flush=True)
            else:
                print(
                    f"{sent.events:,} events sent in {appended:.1f} s, all visible after {visible:.1f} s{twice(sent)}"
                )
                print("\n".join(lines_of(found)), flush=True)
            if not arguments.once:
                _serve(supervisor, health, started, as_json=arguments.json)
    return 0 if done else 130


def _scratch(settings: Settings, data: str | None, stack: ExitStack) -> Settings:
    """Settings of a demo: nothing of a real log, ports that are free, a folder that goes unless it was named."""
    if data is None:
        data = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="qudao-demo-", ignore_cleanup_errors=True)
        )
    elif (Path(data) / "nats").exists() and not (Path(data) / MARK).exists():
        raise DemoError(f"the folder {data} holds a log that no demo made: give another, or leave --data out")
    make_folder(Path(data))
    (Path(data) / MARK).touch()
    return msgspec.structs.replace(
        settings,
        data=data,
        nats="",
        database="",
        nats_monitor="",
        replicas=1,
        port=free_port(settings.host, settings.port),
        nats_port=free_port(wanted=settings.nats_port),
    )


async def _fill(settings: Settings, seed: int, number: int) -> Sent:
    client = await connect(settings.nats, "qudao demo")
    try:
        stream = _counted(events(seed, events=number), number)
        return await publish(Appender(client), stream, batch=500)
    finally:
        await client.close()


def twice(sent: Sent) -> str:
    """What the log itself noticed."""
    return f" ({sent.duplicates:,} were sent twice and are stored once)" if sent.duplicates else ""


def _counted(stream: Iterable[Published], about: int) -> Iterator[Published]:
    telling = partial(Telling(), "appended")
    for number, event in enumerate(stream):
        telling(number, max(about, number + 1))
        yield event
    telling(about, about)


def _serve(supervisor: Supervisor, health: Health, started: float, *, as_json: bool) -> None:
    if not as_json:
        print("\nOpen in a browser:")
        for path, what in PAGES:
            print(f"  {supervisor.url}{path:<28} {what}")
        print()
    tell_ready(supervisor, health, started, as_json=as_json)
    while True:
        supervisor.tend()
        time.sleep(LOOK_SECONDS)
