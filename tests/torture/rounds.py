"""The rounds: each on a site of its own, from a seed, to a verdict."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import msgspec
import sqlalchemy as sa
from msgspec import Struct, field

from cli.simulation import Published, Tally, events
from cli.supervisor import PROJECTOR
from infra.connection import Connection
from infra.stream import STREAM, create_stream
from tests.lab.disk import fill, small_disk
from tests.lab.qudao import answer, qudao, up
from tests.torture.blows import Arena, Hit, plan
from tests.torture.judging import Verdict, judge
from tests.torture.publishing import Said
from tests.torture.site import Site

LOCKED_SECONDS = 8.0  # longer than SQLite waits for a lock
DISK_BYTES = 192 << 20
LEFT_BYTES, LEFT_BYTES_PER_EVENT = 1 << 19, 120  # less than the events take that are still to come
STARTS = 3
SAID_SECONDS = 30.0  # after so long an operator has to know of damage


class Outcome(Struct):
    """What a round came to. `skipped` says why it could not be held here."""

    round: str
    seconds: float = 0.0
    kills: int = 0
    hits: list[Hit] = field(default_factory=list)
    resumed_seconds: list[float] = field(default_factory=list)
    started_seconds: list[float] = field(default_factory=list)
    verdict: Verdict | None = None
    told: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def wrong(self) -> list[str]:
        return self.verdict.wrong if self.verdict else []


@contextmanager
def flowing(
    folder: Path, database: str, stream: list[Published], said: Said, seed: int
) -> Iterator[tuple[Site, Future[None]]]:
    """A site, and publishers that send it the stream."""
    with ThreadPoolExecutor(1) as pool:
        try:
            with Site(folder / "var", database) as site:
                yield site, site.publish(pool, stream, said, seed)
        finally:
            said.stopped = True


def finish(site: Site, said: Said, publishing: Future[None], seconds: float = 1800) -> None:
    """Let the publishers send the rest, and everything be folded."""
    said.allowed = float("inf")
    site.tend_until(publishing.done, "done publishing", seconds=seconds, look=0.1)
    publishing.result()
    site.tend_until(site.level(said), "level with what was acknowledged", seconds=600, look=0.1)


def under_blows(
    folder: Path, seed: int, *, events: int, kills: int, database: str = "", starts: int = 0
) -> Outcome:
    """Processes killed, paused and cut off while events flow; `starts` times it is then started anew."""
    outcome, said, tally = Outcome("blows"), Said(), Tally()
    stream = simulated(seed, events, tally)
    blows = plan(Random(seed), len(stream), kills)
    said.allowed = 0
    with flowing(folder, database, stream, said, seed) as (site, publishing):
        arena = Arena(site, said, publishing, len(stream), len(blows))
        outcome.hits = [arena.strike(blow) for blow in blows]
        outcome.kills = sum(len(blow.victims) for blow in blows if blow.how == "killed")
        outcome.resumed_seconds = [hit.resumed_seconds for hit in outcome.hits]
        finish(site, said, publishing)
        outcome.verdict = judge(site, stream, said, tally)
    for _ in range(starts):
        began = time.monotonic()
        with up(folder / "var", *(("--database", database) if database else ())) as started:
            outcome.started_seconds.append(time.monotonic() - began)
            if not started.ready["healthy"]:
                outcome.verdict.wrong.append(f"started anew it is red: {started.ready['faults']}")
    return outcome


def disk_full(folder: Path, seed: int, *, events: int, database: str = "", **_: object) -> Outcome:
    """The disk fills while events flow; then there is room again."""
    outcome, said, tally = Outcome("disk full"), Said(), Tally()
    stream = simulated(seed, events, tally)
    with small_disk(folder / "var", DISK_BYTES) as ballast:
        if ballast is None:
            outcome.skipped = "no small tmpfs can be mounted here: needs Linux and root"
            return outcome
        with flowing(folder, database, stream, said, seed) as (site, publishing):
            site.tend_until(lambda: said.done >= len(stream) // 5, "at a fifth")
            free = shutil.disk_usage(folder / "var").free
            fill(ballast, free - LEFT_BYTES - LEFT_BYTES_PER_EVENT * len(stream))
            full_after = site.tend_until(stalled(said, 3.0), "full", seconds=300, look=0.1)
            if publishing.done():
                outcome.skipped = "too few events to fill the disk"
                return outcome
            health = site.health()
            free = shutil.disk_usage(folder / "var").free
            outcome.told += [f"full after {full_after:.1f} s and {said.done} events, {free:,} bytes left"]
            outcome.told += [f"health: {'green' if health and health.healthy else health and health.faults}"]
            ballast.unlink()
            done = said.done
            outcome.resumed_seconds = [
                site.tend_until(lambda: said.done > done and site.well(), "at work with room again", look=0.1)
            ]
            finish(site, said, publishing)
            outcome.verdict = judge(site, stream, said, tally)
            if health is None or health.healthy:
                outcome.verdict.wrong.append("health was green while the disk was full")
    return outcome


def clock_stepped(folder: Path, seed: int, *, events: int, database: str = "", **_: object) -> Outcome:
    """Publishers whose clocks step by minutes to years, back and forth, under a restarting site.

    The clock of the machine is not stepped: it is the others' too, and the server takes its time from it.
    """
    outcome, said, rng = Outcome("clock stepped"), Said(), Random(seed)
    stream = list(stepped(simulated(seed, events, Tally()), rng))
    with flowing(folder, database, stream, said, seed) as (site, publishing):
        site.tend_until(lambda: said.done >= len(stream) // 2, "half way")
        site.kill(PROJECTOR)
        outcome.kills = 1
        finish(site, said, publishing)
        outcome.verdict = judge(site, stream, said, None)
    return outcome


def bit_flipped(folder: Path, seed: int, *, events: int, database: str = "", **_: object) -> Outcome:
    """One bit of the log's oldest block turns over; then the copy of before is put back."""
    outcome, said, tally, rng = Outcome("bit flipped"), Said(), Tally(), Random(seed)
    stream = simulated(seed, events, tally)
    nats = folder / "var" / "nats"
    with flowing(folder, database, stream, said, seed) as (site, publishing):
        finish(site, said, publishing)
        site.stop()
        shutil.copytree(nats, folder / "copy")
        outcome.told.append(flip(nats, rng))
    told, wrong = said_of_damage(folder, database)
    outcome.told += told
    shutil.rmtree(nats)
    shutil.copytree(folder / "copy", nats)
    with Site(folder / "var", database) as site:
        outcome.resumed_seconds = [site.tend_until(site.level(said), "well with the copy put back")]
        outcome.verdict = judge(site, stream, said, tally)
        outcome.verdict.wrong += wrong
    return outcome


def stream_replaced(folder: Path, seed: int, *, events: int, database: str = "", **_: object) -> Outcome:
    """The stream is deleted and made anew under everything at work: nothing may be mixed."""
    outcome, said = Outcome("stream replaced"), Said()
    stream = simulated(seed, events, Tally())
    said.allowed = len(stream) // 2
    with flowing(folder, database, stream, said, seed) as (site, publishing):
        site.tend_until(lambda: said.done >= said.allowed and site.level(said)(), "half way", seconds=300)
        folded = site.folded()
        site.with_log(replace_stream)
        said.allowed = float("inf")
        sentence = "was made from another log"
        outcome.resumed_seconds = [site.tend_until(lambda: sentence in faults_of(site), "red")]
        site.tend_until(publishing.done, "done publishing", seconds=300)
        [projector] = [child for child in site.supervisor.children if child.name == PROJECTOR]
        site.tend_until(lambda: projector.ended, "stopped for good", seconds=60)
        wrong = []
        if site.folded() != folded:
            wrong.append(f"folded on from {folded} to {site.folded()} in another log")
        if not site.serves():
            wrong.append("what was built is not served any more")
        outcome.told = [f"health: {faults_of(site)[:160]}…"]
        outcome.verdict = Verdict(len(stream), 0, said.again, 0, 0, wrong)
    return outcome


def database_locked(folder: Path, seed: int, *, events: int, database: str = "", **_: object) -> Outcome:
    """Another process holds the database, longer than one waits for a lock, and the projector is killed meanwhile."""
    outcome, said, tally = Outcome("database locked"), Said(), Tally()
    stream = simulated(seed, events, tally)
    said.allowed = 0
    with flowing(folder, database, stream, said, seed) as (site, publishing):
        for moment, victim in ((len(stream) // 4, None), (len(stream) // 2, PROJECTOR)):
            outcome.resumed_seconds.append(_under_lock(site, said, moment, len(stream) // 8, victim))
            outcome.kills += victim is not None
        finish(site, said, publishing)
        outcome.verdict = judge(site, stream, said, tally)
    return outcome


def _under_lock(site: Site, said: Said, moment: int, more: int, victim: str | None) -> float:
    """Lock the database at a moment, let more events come, kill somebody; how long after it is open work goes on."""
    said.allowed = moment
    site.tend_until(lambda: said.done >= moment, f"at event {moment}")
    with locked(site.database):
        said.allowed = moment + more
        if victim is not None:
            site.kill(victim)
        over = time.monotonic() + LOCKED_SECONDS
        site.tend_until(lambda: time.monotonic() > over, "later")
        folded = site.folded()
    said.allowed += 200
    return site.tend_until(lambda: site.folded() > folded and site.well(), "folding again", look=0.1)


#: All of them, in the order they are held.
ROUNDS: dict[str, Callable[..., Outcome]] = {
    "blows": under_blows,
    "disk-full": disk_full,
    "clock-stepped": clock_stepped,
    "bit-flipped": bit_flipped,
    "stream-replaced": stream_replaced,
    "database-locked": database_locked,
}


# what they are made of


def simulated(seed: int, number: int, tally: Tally) -> list[Published]:
    return list(events(seed, events=number, tally=tally))


def faults_of(site: Site) -> str:
    health = site.health()
    return " ".join(health.faults) if health else ""


def stalled(said: Said, seconds: float) -> Callable[[], bool]:
    """Whether nothing was acknowledged for some time."""
    seen = [said.done, time.monotonic()]

    def holds() -> bool:
        if said.done != seen[0]:
            seen[:] = [said.done, time.monotonic()]
        return time.monotonic() - seen[1] > seconds

    return holds


def stepped(stream: list[Published], rng: Random) -> Iterator[Published]:
    """What is said first of everything, by sources whose clocks step every so often."""
    clock: dict[str, int] = {}
    for event in stream:
        if event.manner != "first":
            continue
        if rng.random() < 0.01:
            span = rng.choice((60, 3600, 86_400, 400 * 86_400))
            clock[event.source] = rng.randint(-span, span)
        body = msgspec.json.decode(event.body)
        body["time"] = shifted(str(body["time"]), clock.get(event.source, 0))
        yield msgspec.structs.replace(event, body=msgspec.json.encode(body))


def shifted(text: str, seconds: int) -> str:
    return (datetime.fromisoformat(text) + timedelta(seconds=seconds)).isoformat()


async def replace_stream(client: Connection) -> None:
    await client.request(f"$JS.API.STREAM.DELETE.{STREAM}", timeout=5)
    await create_stream(client)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold a database so that nobody else may write, or on PostgreSQL even read the positions."""
    if url.startswith("sqlite:///"):
        holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
        holder.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            holder.execute("ROLLBACK")
            holder.close()
        return
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("LOCK TABLE positions IN EXCLUSIVE MODE")  # others may read
            yield
            connection.rollback()
    finally:
        engine.dispose()


def flip(nats: Path, rng: Random) -> str:
    """Turn one bit of the oldest block over, in its middle half; say where."""
    block = min(nats.rglob("msgs/*.blk"), key=lambda path: int(path.stem))
    data = bytearray(block.read_bytes())
    place = rng.randrange(len(data) // 4, len(data) * 3 // 4)
    data[place] ^= 1 << rng.randrange(8)
    block.write_bytes(data)
    for index in nats.rglob("msgs/index.db"):  # written at an orderly stop only; a power cut leaves none
        index.unlink()
    return f"flipped a bit of byte {place:,} of {block.name}, which has {len(data):,}"


def said_of_damage(folder: Path, database: str) -> tuple[list[str], list[str]]:
    """What a site started on a damaged log says of it, and what is wrong with that."""
    began = time.monotonic()
    with up(folder / "var", *(("--database", database) if database else ())) as site:
        seconds = time.monotonic() - began
        faults = list(site.get("/health")[1]["faults"])
        status, _ = site.get("/orders?limit=1")
        address = ["--nats", site.nats, "--database", site.ready["database"]]
        ended = qudao("check", "--json", *address, seconds=600)
    wrong = []
    if seconds > SAID_SECONDS:
        wrong.append(f"`qudao up` said it only after {seconds:.0f} s")
    if not any(word in " ".join(faults) for word in ("hole", "cut or restored", "not the one")):
        wrong.append(f"health does not name the damage: {faults}")
    if ended.returncode == 0:
        wrong.append(f"check finds a damaged log equal: {answer(ended)['sequence']}")
    if status != 200:
        wrong.append("what was built is not served any more")
    last = ended.stderr.strip().splitlines()[-1] if ended.stderr else str(ended.returncode)
    return [*(f"health: {fault}" for fault in faults), f"check: {last}"], wrong
