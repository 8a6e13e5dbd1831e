"""Tampering is found: what was folded, and a head kept elsewhere, are held against the log as it is now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from cli.simulation import events
from cli.simulation.publishing import publish
from cli.verify import lines_of
from domain.event_types import CATALOGUE
from infra.append import Appender
from infra.database import Database
from infra.heads import Head, HeadError, read_head, read_key, sign
from infra.jetstream import connect
from infra.message import Message
from infra.nats_server import NatsServer
from infra.positions import Log
from infra.reader import Reader
from infra.stream import create_stream, stream_state
from infra.verifying import Verified, verify
from projections.orders import ORDERS
from tests.lab.folding import engine_on, shut
from tests.lab.qudao import answer, qudao, up

pytestmark = pytest.mark.integration

EVENTS, AT = 300, 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A log of a simulated channel."""
    with NatsServer.start(tmp_path_factory.mktemp("log")) as server:
        asyncio.run(_fill(server.url))
        yield server


async def _fill(url: str) -> None:
    client = await connect(url, "test")
    await create_stream(client)
    await publish(Appender(client), events(7, events=EVENTS))
    await client.close()


async def _read(url: str) -> tuple[Log, list[Message]]:
    client = await connect(url, "test")
    state = await stream_state(client)
    async with Reader(client, until=state.last_sequence) as reader:
        messages = [message async for batch in reader for message in batch]
    await client.close()
    return Log(state.store_id, state.created), messages


def _folded(path: Path, log: Log, messages: list[Message]) -> Database:
    engine = engine_on(path, (ORDERS,), log=log)
    engine.apply(messages)
    engine.sync()
    shut(engine)
    return Database(f"sqlite:///{path}", read_only=True)


def _verified(url: str, database: Database | None, head: Head | None = None) -> Verified:
    async def work() -> Verified:
        client = await connect(url, "test")
        try:
            return await verify(client, database, head, CATALOGUE, lambda *_: None)
        finally:
            await client.close()

    return asyncio.run(work())


def _renumbered(messages: list[Message]) -> list[Message]:
    return [replace(message, sequence=number) for number, message in enumerate(messages, 1)]


def _flip(m: list[Message]) -> list[Message]:
    return [*m[:AT], replace(m[AT], body=m[AT].body.replace(b"1", b"2", 1)), *m[AT + 1 :]]


def _drop(m: list[Message]) -> list[Message]:
    return _renumbered([*m[:AT], *m[AT + 1 :]])


def _swap(m: list[Message]) -> list[Message]:
    return _renumbered([*m[:AT], m[AT + 1], m[AT], *m[AT + 2 :]])


def _insert(m: list[Message]) -> list[Message]:
    return _renumbered([*m[:AT], replace(m[5], recorded=m[AT].recorded + 1000), *m[AT:]])


def _retime(m: list[Message]) -> list[Message]:
    return [*m[:AT], replace(m[AT], recorded=m[AT].recorded + 1000), *m[AT + 1 :]]


def _readdress(m: list[Message]) -> list[Message]:
    return [*m[:AT], replace(m[AT], subject="channel.orders.D-0001x"), *m[AT + 1 :]]


def test_a_log_that_is_what_was_folded_is_whole(server: NatsServer, tmp_path: Path) -> None:
    log, messages = asyncio.run(_read(server.url))
    database = _folded(tmp_path / "q.db", log, messages)

    found = _verified(server.url, database)
    database.close()

    assert found.findings == ()
    assert found.sequence == len(messages)
    assert len(found.checked) == 2


@pytest.mark.parametrize("alter", [_flip, _drop, _swap, _insert, _retime, _readdress])
def test_the_first_message_that_differs_from_what_was_folded_is_named(
    server: NatsServer, tmp_path: Path, alter: Callable[[list[Message]], list[Message]]
) -> None:
    log, messages = asyncio.run(_read(server.url))
    database = _folded(tmp_path / "q.db", log, alter(messages)[: len(messages)])

    found = _verified(server.url, database)
    database.close()

    assert found.findings[0].sequence == AT + 1


def test_a_log_that_was_cut_or_replaced_is_named(server: NatsServer, tmp_path: Path) -> None:
    log, messages = asyncio.run(_read(server.url))
    more = Message(len(messages) + 1, messages[-1].recorded + 1, "channel.orders.D1", b"{}")
    longer = _folded(tmp_path / "longer.db", log, [*messages, more])
    other = _folded(tmp_path / "other.db", Log("another", 1), messages)

    cut, replaced = _verified(server.url, longer), _verified(server.url, other)
    longer.close()
    other.close()

    assert "it was cut" in cut.findings[-1].reason
    assert "another log, store another" in replaced.findings[-1].reason


def test_a_head_kept_elsewhere_shows_that_a_log_was_rewritten_with_a_chain_of_its_own(
    server: NatsServer, tmp_path: Path
) -> None:
    log, messages = asyncio.run(_read(server.url))
    key = read_key(tmp_path / "head.key")
    database, rewritten = (
        _folded(tmp_path / f"{name}.db", log, kept)
        for name, kept in (("now", messages), ("then", _drop(messages)))
    )
    heads = [
        sign(log.store_id, p.sequence, p.chain, datetime(2026, 3, 1, tzinfo=UTC), key)
        for one in (database, rewritten)
        for p in one.positions()
        if p.projection == "index"
    ]
    true, old = _verified(server.url, None, heads[0]), _verified(server.url, database, heads[1])
    database.close()
    rewritten.close()

    assert true.findings == ()
    assert [finding.reason for finding in old.findings] == [
        "up to here the log is not the one that the head was signed for"
    ]


def test_a_head_that_was_altered_is_no_head(tmp_path: Path) -> None:
    key = read_key(tmp_path / "head.key")
    assert (tmp_path / "head.key").stat().st_mode & 0o777 == 0o600
    head = sign("store", 7, "ab" * 32, datetime(2026, 3, 1, tzinfo=UTC), key)
    path = tmp_path / "head.json"
    path.write_bytes(msgspec.json.encode(head))
    assert read_head(path) == head

    path.write_bytes(msgspec.json.encode(replace(head, sequence=8)))
    with pytest.raises(HeadError, match="altered after it was signed"):
        read_head(path)
    path.write_bytes(b"{}")
    with pytest.raises(HeadError, match="is no head"):
        read_head(path)


def test_a_bit_flipped_in_the_store_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with NatsServer.start(folder) as server:
        asyncio.run(_fill(server.url))
        log, messages = asyncio.run(_read(server.url))
    database = _folded(tmp_path / "q.db", log, messages)
    [block] = folder.rglob("msgs/1.blk")
    content = bytearray(block.read_bytes())
    content[len(content) // 2] ^= 1
    block.write_bytes(bytes(content))

    other = sign(
        log.store_id, 1, "ab" * 32, datetime(2026, 3, 1, tzinfo=UTC), read_key(tmp_path / "head.key")
    )
    with NatsServer.start(folder) as server:
        found, held = _verified(server.url, database), _verified(server.url, database, other)
    database.close()

    assert found.findings
    assert held.findings[0].sequence == 1  # before the hole, and told beside it
    assert held.findings[1:] == found.findings
    assert held.checked == (f"a head signed {other.signed_at.isoformat()} at 1 by {other.public_key}",)
    assert lines_of(held)[0].startswith("wrong at 1: ")
    assert lines_of(held)[-1] == f"held to {held.checked[0]}"


def test_the_commands_say_it_in_a_line(tmp_path: Path) -> None:
    data = tmp_path / "var"
    with up(data) as site:
        client_events = asyncio.run(_publish(site.nats))
        site.rows("orders", client_events)
        head = qudao("head", "--data", data)
        (tmp_path / "head.json").write_text(head.stdout)
        whole = qudao("verify", "--data", data, "--head", tmp_path / "head.json")
        said = qudao("verify", "--data", data, "--json")

    assert head.returncode == 0, head.stderr
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert whole.stdout.startswith("whole: ")
    assert f"by {json.loads(head.stdout)['public_key']}\n" in whole.stdout
    assert answer(said)["findings"] == []


async def _publish(url: str) -> int:
    client = await connect(url, "test")
    try:
        return (await publish(Appender(client), events(7, events=EVENTS))).last_sequence
    finally:
        await client.close()
