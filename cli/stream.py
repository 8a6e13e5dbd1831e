"""`qudao stream`: the administrative command that makes, strengthens and verifies the log's stream."""

from __future__ import annotations

import argparse
import asyncio

import msgspec

from infra.durability import Durability, durability
from infra.jetstream import connect
from infra.monitoring import ServerState, faults_of, servers
from infra.settings import Settings
from infra.stream import STREAM, StreamState, create_stream, stream_state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--verify", action="store_true", help="look only, change nothing")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Leave a stream the log can be kept in, say what it is; 1 where it is not what was promised."""
    state, means, on_servers = asyncio.run(_stream(settings, look_only=arguments.verify))
    if arguments.json:
        print(msgspec.json.encode({"stream": state, "durability": means, "servers": on_servers}).decode())
    else:
        print(*lines_of(state, means), *faults_of(on_servers, state)[0], sep="\n")
    return 1 if state.faults or faults_of(on_servers, state)[0] else 0


async def _stream(
    settings: Settings, *, look_only: bool
) -> tuple[StreamState, Durability, tuple[ServerState, ...]]:
    client = await connect(settings.nats_url, "qudao stream")
    try:
        if look_only:
            state = await stream_state(client)
        else:
            state = await create_stream(
                client,
                replicas=settings.replicas or None,
                duplicate_window_seconds=settings.duplicate_window_seconds,
            )
        on_servers = await servers(settings.monitor_urls, state.created)
        return state, await durability(client, state, settings.monitor_urls), on_servers
    finally:
        await client.close()


def lines_of(state: StreamState, means: Durability) -> list[str]:
    """The stream in lines for a person."""
    extent = f"messages {state.first_sequence} to {state.last_sequence}" if state.last_sequence else "empty"
    return [
        f"stream {STREAM}: {extent}, {state.replicas} {'copy' if state.replicas == 1 else 'copies'}, "
        f"{state.storage} storage, store {state.store_id}",
        means.explanation,
        *[f"not as it should be: {fault}" for fault in state.faults],
    ]
