"""Three servers that keep one log: what is acknowledged outlives any of them, and damage on one is named."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import nats.errors
import pytest
from log_events import delete_stream, numbered

from domain.errors import QudaoError
from infra.append import Appender, Receipt
from infra.connection import Connection
from infra.durability import durability
from infra.jetstream import JetStreamError, LogUnreachableError, ask, connect
from infra.message import Message
from infra.monitoring import faults_of, servers
from infra.reader import LogHoleError, Reader
from infra.stream import STREAM, StreamError, StreamState, create_stream, stream_state
from tests.lab.cluster import Cluster, Node
from tests.lab.events import order
from tests.lab.qudao import answer, eventually, qudao, up
from tests.lab.site import site

T = TypeVar("T")
pytestmark = [
    pytest.mark.integration,
    # nats-py leaves a connection open that broke off while it was made.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def told(client: Connection) -> StreamState:
    """What the log says of itself, once it has a leader that answers."""
    return await patiently(lambda: stream_state(client))


async def patiently(work: Callable[[], Awaitable[T]], seconds: float = 60) -> T:
    """Ask again while nobody leads: after a start or a kill that takes a moment."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await work()
        except (LogUnreachableError, JetStreamError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
async def log(cluster: Cluster) -> AsyncIterator[Connection]:
    """A connection to the cluster, with an empty log of three copies made anew."""
    await asyncio.to_thread(cluster.await_well)
    client = await connect(cluster.url, "test")
    await without_log(client)
    await patiently(lambda: create_stream(client, replicas=3))
    yield client
    await client.close()


async def without_log(client: Connection) -> None:
    """Delete what log there is; a cluster that is just electing who leads it is asked again."""
    for _ in range(5):
        with suppress(LogUnreachableError, nats.errors.Error):
            try:
                await stream_state(client)
            except StreamError:
                return
            await delete_stream(client)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What nats-py leaves open is found here, and not in a later test that expects no warning."""
    yield
    gc.collect()


class _Leader(msgspec.Struct):
    leader: str = ""


class _Led(msgspec.Struct):
    cluster: _Leader


async def leader_of(client: Connection, cluster: Cluster) -> Node:
    found = await ask(client, f"STREAM.INFO.{STREAM}", {}, _Led)
    return cluster.node(found.cluster.leader)


async def whole(client: Connection) -> list[Message]:
    async with Reader(client, until=(await told(client)).last_sequence) as reader:
        return [message async for batch in reader for message in batch]


# making it


async def test_the_command_makes_three_copies_and_makes_three_of_one(cluster: Cluster) -> None:
    client = await connect(cluster.url, "test")
    await without_log(client)
    address = ("--json", "--nats", cluster.url, "--nats-monitor", ",".join(cluster.monitor_urls))

    one = answer(qudao("stream", *address))
    await Appender(client).append(numbered(1, 10))
    three = answer(qudao("stream", "--replicas", "3", *address))
    spread = await _eventually(client, cluster, 10)
    await client.close()

    assert (one["stream"]["replicas"], one["durability"]["acknowledged_means"]) == (1, "disk")
    assert (three["stream"]["replicas"], three["durability"]["acknowledged_means"]) == (3, "disk")
    assert three["stream"]["store_id"] == one["stream"]["store_id"]
    assert spread


async def _eventually(client: Connection, cluster: Cluster, messages: int) -> bool:
    """Whether every server comes to hold so many messages."""
    for _ in range(200):
        state = await told(client)
        states = await servers(cluster.monitor_urls, state.created)
        if all(one.held is not None and one.held.messages == messages for one in states):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_question_the_connection_broke_on_is_asked_of_another_server(
    cluster: Cluster, log: Connection
) -> None:
    leader = await leader_of(log, cluster)
    asked = next(node for node in cluster.nodes if node is not leader)  # without the leader, none answers
    client = await connect(asked.url, "asking")  # is told of the others
    created = (await told(client)).created

    asked.kill()
    after = await stream_state(client)
    asked.start()
    await client.close()

    assert after.created == created


# appending


async def test_a_repeat_gets_the_first_answer_whoever_sends_it_and_however(
    cluster: Cluster, log: Connection
) -> None:
    other = await connect(cluster.url, "another")
    events = numbered(1, 20)

    first = await Appender(log).append(events)
    again = await Appender(other).append(events)
    singly = [(await Appender(other).append([event]))[0] for event in events[:3]]
    both = await asyncio.gather(*(Appender(c).append(numbered(21, 40)) for c in (log, other)))
    await other.close()

    assert [one.sequence for one in first] == list(range(1, 21))
    assert again == [Receipt(one.sequence, True) for one in first]
    assert singly == again[:3]
    assert [one.sequence for one in both[0]] == [one.sequence for one in both[1]]
    assert len(await whole(log)) == 40


async def publish(cluster: Cluster, writer: int, stop: asyncio.Event, said: dict[bytes, int]) -> None:
    """One publisher that asks again until it is told; what it was told goes into `said`."""
    client = await connect(cluster.url, f"writer {writer}", patience_seconds=20)
    appender = Appender(client, patience_seconds=2)
    number = writer * 1_000_000
    try:
        while not stop.is_set():
            size = 1 + number % 30
            events = numbered(number, number + size - 1)
            receipts = None
            while receipts is None:
                with suppress(QudaoError):
                    receipts = await appender.append(events)
            said.update((e.body, r.sequence) for e, r in zip(events, receipts, strict=True))
            number += size
            await asyncio.sleep(0.005)
    finally:
        await client.close()


async def killed_leader(client: Connection, cluster: Cluster) -> None:
    leader = await leader_of(client, cluster)
    leader.kill()
    await asyncio.sleep(1)
    leader.start()


async def killed_all(client: Connection, cluster: Cluster) -> None:
    del client
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()


async def lame_duck(client: Connection, cluster: Cluster) -> None:
    leader = await leader_of(client, cluster)
    leader.send(signal.SIGUSR2)
    await asyncio.sleep(3)  # it has given its leadership away and asked its clients to leave
    leader.kill()
    leader.start()


@pytest.mark.parametrize("blow", [killed_leader, killed_all, lame_duck])
async def test_what_is_acknowledged_outlives_the_servers_and_stands_once(
    cluster: Cluster, log: Connection, blow: Callable[[Connection, Cluster], object]
) -> None:
    said: dict[bytes, int] = {}
    stop = asyncio.Event()
    writers = [asyncio.create_task(publish(cluster, number, stop, said)) for number in (1, 2, 3)]
    await asyncio.sleep(0.5)

    await blow(log, cluster)  # type: ignore[misc]
    before, began = len(said), time.monotonic()
    while len(said) == before:
        assert time.monotonic() - began < 20, "nothing is acknowledged any more"
        await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*writers)
    await asyncio.to_thread(cluster.await_well)
    found = await whole(log)

    at = {message.sequence: message.body for message in found}
    assert len(said) > 100
    assert [body for body, sequence in said.items() if at.get(sequence) != body] == []
    assert [body for body, count in Counter(at.values()).items() if count > 1] == []


async def test_a_site_over_the_cluster_goes_on_when_the_leader_is_killed(
    cluster: Cluster, log: Connection, tmp_path: Path
) -> None:
    address = ("--nats", cluster.url, "--nats-monitor", ",".join(cluster.monitor_urls))
    leader = await leader_of(log, cluster)

    def live() -> tuple[list[int], list[str], bool]:
        with up(tmp_path / "var", *address) as running:
            sent = [running.post("/events", order("SO-1", "D1", ("COLA", 1)))[1]["sequence"]]
            os.kill(leader.pid, signal.SIGKILL)
            leader.wait()
            for number in range(2, 6):
                event = order(f"SO-{number}", "D1", ("COLA", 1), id=f"e-{number}")
                assert eventually(lambda event=event: running.post("/events", event)[0] in (200, 201), 30)
                sent.append(running.post("/events", event)[1]["sequence"])
            rows = [row["order"] for row in running.rows("orders", max(sent))]
            leader.start()
            well = eventually(lambda: running.get("/health")[0] == 200, 20)
            database = ("--database", running.ready["database"])
            assert qudao("check", *address, *database).returncode == 0
            return sent, rows, well

    sent, rows, well = await asyncio.to_thread(live)

    assert sent == sorted(set(sent))
    assert sorted(rows) == [f"SO-{number}" for number in range(1, 6)]
    assert well


# damage on one


async def test_a_bit_flipped_on_one_replica_is_found_named_and_healed_as_it_says(
    cluster: Cluster, log: Connection, tmp_path: Path
) -> None:
    last = 20_000  # so many that the oldest block is not the last one
    await Appender(log).append(numbered(1, last))
    created = (await told(log)).created
    leader = await leader_of(log, cluster)
    victim = next(node for node in cluster.nodes if node is not leader)

    victim.kill()
    flip(victim)
    victim.start()
    cluster.await_well()
    state = await told(log)
    faults, _ = faults_of(await servers(cluster.monitor_urls, created), state)
    health = await asyncio.to_thread(health_on, cluster, tmp_path / "none.db")
    address = ("--nats", cluster.url, "--nats-monitor", ",".join(cluster.monitor_urls))
    verified = await asyncio.to_thread(qudao, "stream", "--verify", *address)
    healthy_copies = await _whole_or_hole(log, last)
    victim.kill()
    [copy] = victim.folder.glob(f"jetstream/*/streams/{STREAM}")
    shutil.rmtree(copy)
    victim.start()
    healed = await _eventually(log, cluster, last)
    await asyncio.to_thread(cluster.await_well)

    [fault] = faults
    assert f"The log has a hole on the server {victim.name}: " in fault
    assert "stop it, remove its copy of the stream and start it again" in fault
    assert [one for one in health if f"on the server {victim.name}" in one]
    assert verified.returncode == 1
    assert f"on the server {victim.name}" in verified.stdout
    assert healthy_copies
    assert healed
    assert faults_of(await servers(cluster.monitor_urls, created), state) == ([], [])


def flip(node: Node) -> None:
    """Turn one bit over in the middle of the oldest block."""
    block = min(node.folder.rglob(f"streams/{STREAM}/msgs/*.blk"), key=lambda path: int(path.stem))
    data = bytearray(block.read_bytes())
    data[len(data) // 2] ^= 4
    block.write_bytes(data)
    for index in node.folder.rglob(f"streams/{STREAM}/msgs/index.db"):  # a kill leaves an old one, or none
        index.unlink()


def health_on(cluster: Cluster, database: Path) -> list[str]:
    with site(database, nats_url=cluster.url, monitor_urls=cluster.monitor_urls) as api:
        eventually(lambda: bool(api.get("/health").json()["log"]["reachable"]))
        return list(api.get("/health").json()["faults"])


async def _whole_or_hole(client: Connection, last: int) -> bool:
    """Whoever reads gets everything, or is told of the hole: never less without a word."""
    try:
        return len(await whole(client)) == last
    except LogHoleError:
        return True


# what an acknowledgement means


async def test_durability_counts_only_the_servers_that_hold_the_log(
    cluster: Cluster, log: Connection
) -> None:
    await without_log(log)
    one = await patiently(lambda: create_stream(log, replicas=1))
    holder = await leader_of(log, cluster)
    others = [node.monitor_url for node in cluster.nodes if node is not holder]

    untold = await durability(log, one, others)
    told = await durability(log, one, [holder.monitor_url])

    assert one.holders == (holder.name,)
    assert (untold.acknowledged_means, told.acknowledged_means) == ("unknown", "disk")


async def test_durability_of_three_copies_is_what_all_three_report(cluster: Cluster, log: Connection) -> None:
    state = await told(log)
    away, *_ = [node for node in cluster.nodes if node is not await leader_of(log, cluster)]

    whole_cluster = await durability(log, state, cluster.monitor_urls)
    away.kill()
    without = await durability(log, await told(log), cluster.monitor_urls)
    _, warnings = faults_of(await servers(cluster.monitor_urls, state.created), state)
    away.start()

    assert state.holders == ("n1", "n2", "n3")
    assert whole_cluster.acknowledged_means == "disk"
    assert without.acknowledged_means == "unknown"
    assert "Only 2 of the 3 servers that hold the log" in without.explanation
    assert f"The server at {away.monitor_url} does not answer" in warnings


async def test_three_copies_that_sync_now_and_then_are_a_quorum(tmp_path: Path) -> None:
    with Cluster(tmp_path, sync='"2m"') as lazy:
        client = await connect(lazy.url, "test")
        three = await durability(
            client, await patiently(lambda: create_stream(client, replicas=3)), lazy.monitor_urls
        )
        await delete_stream(client)
        one = await durability(
            client, await patiently(lambda: create_stream(client, replicas=1)), lazy.monitor_urls
        )
        await client.close()

    assert three.acknowledged_means == "quorum"
    assert "syncs only every 120 s" in three.explanation
    assert one.acknowledged_means == "lazy"
