from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from log_events import delete_stream, numbered

from infra.append import Appender
from infra.connection import Connection
from infra.durability import ServerReport, durability, judge
from infra.jetstream import JetStreamError, LogUnreachableError, ask, connect
from infra.nats_server import NatsServer
from infra.stream import STREAM, StreamError, StreamState, create_stream, stream_state

pytestmark = pytest.mark.integration

Json = dict[str, object]

STATE = StreamState(
    store_id="s",
    created=1,
    first_sequence=1,
    last_sequence=9,
    messages=9,
    deleted=0,
    replicas=1,
    storage="file",
    persist_mode="default",
    faults=(),
)


async def make(client: Connection, **settings: object) -> None:
    """Make a stream by hand, as someone else might have."""
    await delete_stream(client)
    config = {"name": STREAM, "subjects": ["channel.*.*"], "storage": "file", **settings}
    await ask(client, f"STREAM.CREATE.{STREAM}", config, Json)


async def config(client: Connection) -> Json:
    info = await ask(client, f"STREAM.INFO.{STREAM}", {}, Json)
    return msgspec.convert(info["config"], Json)


async def test_a_new_stream_is_without_fault_and_made_only_once(stream: Connection) -> None:
    first = await stream_state(stream)

    again = await create_stream(stream)

    assert again == first
    assert first.faults == ()
    assert first.contiguous
    assert len(first.store_id) == 32


async def test_a_weak_stream_is_strengthened_and_keeps_what_it_had(stream: Connection) -> None:
    await make(stream, metadata={"owner": "sales"}, description="ours", duplicate_window=120_000_000_000)
    weak = await stream_state(stream)

    state = await create_stream(stream, store_id="store-1")

    settings = await config(stream)
    assert "deny_delete is False, not True" in weak.faults
    assert "metadata names no store_id" in weak.faults
    assert state.faults == ()
    assert state.store_id == "store-1"
    assert settings["description"] == "ours"
    assert settings["duplicate_window"] == 3_600_000_000_000
    assert msgspec.convert(settings["metadata"], dict[str, str])["owner"] == "sales"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("storage", "memory"),
        ("retention", "workqueue"),
        ("max_msgs", 5),
        ("max_bytes", 1_000_000),
        ("max_age", 3_600_000_000_000),
        ("max_msgs_per_subject", 1),
        ("subjects", ["channel.>"]),
        ("persist_mode", "async"),
        ("allow_rollup_hdrs", True),
        ("allow_msg_ttl", True),
    ],
)
async def test_a_stream_that_breaks_the_promise_is_refused_by_field(
    stream: Connection, field: str, value: object
) -> None:
    await make(stream, **{field: value})

    with pytest.raises(StreamError, match=f"cannot be the log: .*{field} is"):
        await create_stream(stream)


async def test_a_stream_of_another_store_is_refused(stream: Connection) -> None:
    with pytest.raises(StreamError, match="belongs to store"):
        await create_stream(stream, store_id="another")


async def test_a_missing_stream_is_said_to_be_missing(stream: Connection) -> None:
    await delete_stream(stream)

    with pytest.raises(StreamError, match="there is no stream CHANNEL"):
        await stream_state(stream)


async def test_deleted_messages_are_a_fault(stream: Connection) -> None:
    await make(stream)
    await Appender(stream).append(numbered(1, 3))
    await ask(stream, f"STREAM.MSG.DELETE.{STREAM}", {"seq": 2}, Json)

    state = await stream_state(stream)

    assert not state.contiguous
    assert state.deleted == 1
    assert "it holds only 2 of the messages 1 to 3: some are gone" in state.faults


async def test_neither_message_nor_log_can_be_removed(stream: Connection) -> None:
    await Appender(stream).append(numbered(1, 3))

    with pytest.raises(JetStreamError, match="message delete not permitted"):
        await ask(stream, f"STREAM.MSG.DELETE.{STREAM}", {"seq": 2}, Json)
    with pytest.raises(JetStreamError, match="stream purge not permitted"):
        await ask(stream, f"STREAM.PURGE.{STREAM}", {}, Json)


async def test_a_bad_address_is_one_clear_error_without_the_password() -> None:
    with pytest.raises(LogUnreachableError, match=r"no NATS server at nats://127\.0\.0\.1:1 within 0\.3 s"):
        await connect("nats://user:secret@127.0.0.1:1", "test", patience_seconds=0.3)


@pytest.mark.parametrize(("sync_always", "meaning"), [(True, "disk"), (False, "lazy")])
async def test_durability_is_what_the_server_reports(tmp_path: Path, sync_always: bool, meaning: str) -> None:
    with NatsServer.start(tmp_path, sync_always=sync_always) as server:
        client = await connect(server.url, "test")
        state = await create_stream(client)

        told = await durability(client, state, [server.monitor_url])
        untold = await durability(client, state)
        unanswered = await durability(client, state, ["http://127.0.0.1:1"])
        await client.close()

    assert told.acknowledged_means == meaning
    assert untold.acknowledged_means == unanswered.acknowledged_means == "unknown"


def test_durability_takes_nothing_unreported_for_granted() -> None:
    always = ServerReport("a", True, 120)
    lazy = ServerReport("b", False, 120)
    three = msgspec.structs.replace(STATE, replicas=3)

    assert judge(STATE, []).acknowledged_means == "unknown"
    assert judge(three, [always]).acknowledged_means == "unknown"
    assert judge(three, [always, always, always]).acknowledged_means == "disk"
    assert judge(three, [always, lazy, lazy]).acknowledged_means == "quorum"
    assert judge(msgspec.structs.replace(STATE, storage="memory"), [always]).acknowledged_means == "memory"
    assert judge(msgspec.structs.replace(STATE, persist_mode="async"), [always]).acknowledged_means == "lazy"
